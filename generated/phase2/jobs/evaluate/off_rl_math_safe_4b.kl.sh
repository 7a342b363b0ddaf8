#!/bin/bash
#SBATCH --job-name=phase2.evaluate.off_rl_math_safe_4b.kl.8343fa60
#SBATCH --partition=main
#SBATCH --time=3:00:00
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=24G
#SBATCH --gres=gpu:a100l:1
#SBATCH --requeue
#SBATCH --open-mode=append

# evaluate/off_rl_math_safe_4b.kl: 3 inputs -> scores
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
export LETHE_OUT="$LETHE_STORE/evaluate/off_rl_math_safe_4b.kl-8343fa60c08f"
export LETHE_CONTRACT="$PWD/generated/phase2/jobs/evaluate/off_rl_math_safe_4b.kl.json"
export LETHE_CONFIG="$PWD/generated/phase2/configs/evaluate/off_rl_math_safe_4b.kl.yaml"

exec python -m runtime evaluate "$LETHE_CONTRACT"
