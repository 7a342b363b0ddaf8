"""What would become of a compiled study on a cluster: its own submit_all.sh, on a pretended Slurm, with jobs that fail on cue.

fake/     sbatch, squeue and scontrol as shell scripts, for PATH: they note each call and answer
slurm     what Slurm would make of those calls: dependencies, holds, requeues, cancellations, in memory
cluster   the folder in which the two meet, and the submission of a study to it
scripts   the study's job scripts, as sbatch and bash read them before anything runs
stand_in  what stands in for a job's command: it checks the inputs as the real one and writes the done-marker
failures  which jobs are to fail, and of what
course    a whole simulation: submitted, worked off, submitted again
outcome   what is said of it
"""
