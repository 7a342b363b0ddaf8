"""The code that Lethe's jobs run. Never imports the compiler; shares files with it, and nothing else."""
