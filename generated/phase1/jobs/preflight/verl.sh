#!/bin/bash
#SBATCH --job-name=phase1.preflight.verl.af5457d8
#SBATCH --partition=main
#SBATCH --time=0:20:00
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=24G
#SBATCH --gres=gpu:a100l:1
#SBATCH --requeue
#SBATCH --open-mode=append

# preflight/verl: 0 inputs -> environment
set -euo pipefail
unset SLURM_EXPORT_ENV  # else srun hides from its tasks what is exported below
cd "${LETHE_ROOT:-${SLURM_SUBMIT_DIR:?}}"
export LETHE_ROOT="$PWD" LETHE_REQUEUE=yes LETHE_ATTEMPTS=8

unset ROCR_VISIBLE_DEVICES
export HF_HOME="$SCRATCH/huggingface"
export PYTHONUNBUFFERED="1"
export TOKENIZERS_PARALLELISM="false"
export OMP_NUM_THREADS=2  # of each process: a node's CPUs over its GPUs
# shellcheck disable=SC1090,SC1091
. "$SCRATCH/lethe-envs/verl/bin/activate"

export LETHE_STORE=${LETHE_STORE:-"$SCRATCH/lethe"}
export LETHE_OUT="$LETHE_STORE/preflight/verl-af5457d89bf7"
export LETHE_CONTRACT="$PWD/generated/phase1/jobs/preflight/verl.json"
export LETHE_CONFIG="$PWD/generated/phase1/configs/preflight/verl.yaml"

exec python -m runtime preflight "$LETHE_CONTRACT"
