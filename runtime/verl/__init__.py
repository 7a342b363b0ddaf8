"""What stands between VeRL and Lethe: its checkpoints made into artifacts, and a platform to train on where there is no GPU."""
