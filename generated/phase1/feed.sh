#!/bin/bash
#SBATCH --job-name=phase1.feed
#SBATCH --partition=main-cpu
#SBATCH --time=30
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=1G
#SBATCH --open-mode=append

# What --feed puts into the queue: it submits what there is room for now, and leaves alone what failed.
set -euo pipefail
unset SLURM_EXPORT_ENV
bash "${LETHE_ROOT:?}/generated/phase1/submit_all.sh" --yes --feed --only-new "$@" || [[ $? == 4 ]]
