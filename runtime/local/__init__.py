"""This machine without Slurm: the executor of a study's scripts, what it shows, and the warm process that forks their jobs."""
