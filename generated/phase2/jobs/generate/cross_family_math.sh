#!/bin/bash
#SBATCH --job-name=phase2.generate.cross_family_math.0132ea9e
#SBATCH --partition=long
#SBATCH --time=12:00:00
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=128G
#SBATCH --gres=gpu:a100l:4
#SBATCH --requeue
#SBATCH --open-mode=append

# generate/cross_family_math: 2 inputs -> traces
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
export LETHE_OUT="$LETHE_STORE/generate/cross_family_math-0132ea9e14fe"
export LETHE_CONTRACT="$PWD/generated/phase2/jobs/generate/cross_family_math.json"
export LETHE_CONFIG="$PWD/generated/phase2/configs/generate/cross_family_math.yaml"

exec python -m runtime generate "$LETHE_CONTRACT"
