#!/bin/bash
#SBATCH --job-name=micro.evaluate.off_rl_code_base_micro.code.c0b34a57
#SBATCH --time=1:00:00
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --requeue
#SBATCH --open-mode=append

# evaluate/off_rl_code_base_micro.code: 2 inputs -> scores
set -euo pipefail
unset SLURM_EXPORT_ENV  # else srun hides from its tasks what is exported below
cd "${LETHE_ROOT:-${SLURM_SUBMIT_DIR:?}}"
export LETHE_ROOT="$PWD" LETHE_REQUEUE=yes LETHE_ATTEMPTS=8

export OMP_NUM_THREADS="1"
export TOKENIZERS_PARALLELISM="false"
export HF_HUB_OFFLINE="1"
# shellcheck disable=SC1090,SC1091
. ".venv/bin/activate"

export LETHE_STORE=${LETHE_STORE:-"$LETHE_ROOT/store"}
export LETHE_OUT="$LETHE_STORE/evaluate/off_rl_code_base_micro.code-c0b34a578b5a"
export LETHE_CONTRACT="$PWD/generated/micro/jobs/evaluate/off_rl_code_base_micro.code.json"
export LETHE_CONFIG="$PWD/generated/micro/configs/evaluate/off_rl_code_base_micro.code.yaml"

exec python -m runtime evaluate "$LETHE_CONTRACT"
