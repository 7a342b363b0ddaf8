"""A first profile of a cluster, from what its Slurm says of itself."""
