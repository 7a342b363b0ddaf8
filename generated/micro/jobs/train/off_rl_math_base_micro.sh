#!/bin/bash
#SBATCH --job-name=micro.train.off_rl_math_base_micro.e4acd575
#SBATCH --time=1:00:00
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --requeue
#SBATCH --signal=B:USR1@300
#SBATCH --open-mode=append

# train/off_rl_math_base_micro: 2 inputs -> checkpoint.hf
set -euo pipefail
unset SLURM_EXPORT_ENV  # else srun hides from its tasks what is exported below
cd "${LETHE_ROOT:-${SLURM_SUBMIT_DIR:?}}"
export LETHE_ROOT="$PWD" LETHE_REQUEUE=yes LETHE_ATTEMPTS=8
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=300  # seconds that torchrun leaves its processes to save

export OMP_NUM_THREADS="1"
export TOKENIZERS_PARALLELISM="false"
export HF_HUB_OFFLINE="1"
# shellcheck disable=SC1090,SC1091
. ".venv/bin/activate"

export LETHE_STORE=${LETHE_STORE:-"$LETHE_ROOT/store"}
export LETHE_OUT="$LETHE_STORE/train/off_rl_math_base_micro-e4acd575a622"
export LETHE_CONTRACT="$PWD/generated/micro/jobs/train/off_rl_math_base_micro.json"
export LETHE_CONFIG="$PWD/generated/micro/configs/train/off_rl_math_base_micro.yaml"

exec python -m runtime train "$LETHE_CONTRACT"
