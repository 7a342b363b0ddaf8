#!/bin/bash
#SBATCH --job-name=phase1.generate.same_family_code.2626a5d7
#SBATCH --partition=main
#SBATCH --time=12:00:00
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=48G
#SBATCH --gres=gpu:a100l:2
#SBATCH --requeue
#SBATCH --open-mode=append

# generate/same_family_code: 2 inputs -> traces
set -euo pipefail
unset SLURM_EXPORT_ENV  # else srun hides from its tasks what is exported below
cd "${LETHE_ROOT:-${SLURM_SUBMIT_DIR:?}}"
export LETHE_ROOT="$PWD" LETHE_REQUEUE=yes LETHE_ATTEMPTS=8

unset ROCR_VISIBLE_DEVICES
export HF_HOME="$SCRATCH/huggingface"
export PYTHONUNBUFFERED="1"
export TOKENIZERS_PARALLELISM="false"
export OMP_NUM_THREADS=4  # of each process: a node's CPUs over its GPUs
# shellcheck disable=SC1090,SC1091
. "$SCRATCH/lethe-envs/trl-eval/bin/activate"

export LETHE_STORE=${LETHE_STORE:-"$SCRATCH/lethe"}
export LETHE_OUT="$LETHE_STORE/generate/same_family_code-2626a5d707e4"
export LETHE_CONTRACT="$PWD/generated/phase1/jobs/generate/same_family_code.json"
export LETHE_CONFIG="$PWD/generated/phase1/configs/generate/same_family_code.yaml"

exec python -m runtime generate "$LETHE_CONTRACT"
