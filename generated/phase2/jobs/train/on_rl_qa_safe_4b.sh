#!/bin/bash
#SBATCH --job-name=phase2.train.on_rl_qa_safe_4b.c2dedfc1
#SBATCH --partition=main
#SBATCH --time=2-00:00:00
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=48G
#SBATCH --gres=gpu:a100l:2
#SBATCH --requeue
#SBATCH --signal=B:USR1@300
#SBATCH --open-mode=append

# train/on_rl_qa_safe_4b: 2 inputs -> checkpoint.shards
set -euo pipefail
unset SLURM_EXPORT_ENV  # else srun hides from its tasks what is exported below
cd "${LETHE_ROOT:-${SLURM_SUBMIT_DIR:?}}"
export LETHE_ROOT="$PWD" LETHE_REQUEUE=yes LETHE_ATTEMPTS=8
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=300  # seconds that torchrun leaves its processes to save

unset ROCR_VISIBLE_DEVICES
export HF_HOME="$SCRATCH/huggingface"
export PYTHONUNBUFFERED="1"
export TOKENIZERS_PARALLELISM="false"
export OMP_NUM_THREADS=4  # of each process: a node's CPUs over its GPUs
# shellcheck disable=SC1090,SC1091
. "$SCRATCH/lethe-envs/verl/bin/activate"

export LETHE_STORE=${LETHE_STORE:-"$SCRATCH/lethe"}
export LETHE_OUT="$LETHE_STORE/train/on_rl_qa_safe_4b-c2dedfc1659c"
export LETHE_CONTRACT="$PWD/generated/phase2/jobs/train/on_rl_qa_safe_4b.json"
export LETHE_CONFIG="$PWD/generated/phase2/configs/train/on_rl_qa_safe_4b.yaml"
export LETHE_IN_START="$LETHE_STORE/fetch/safe_4b-daa2187d4565"
export LETHE_IN_DATA="$LETHE_STORE/build/prompts_qa.parquet-0475691ff7ec"
export WANDB_MODE=offline WANDB_PROJECT=forgetting WANDB_NAME=on_rl_qa_safe_4b
export WANDB_RUN_ID=c2dedfc1659cceb5 WANDB_RESUME=allow WANDB_DIR="$LETHE_OUT"

export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"  # Ray's workers import runtime.rewards
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
exec python -m runtime launch --marked "$LETHE_CONTRACT" \
  python -m runtime.launch.ray_cluster --nodes=1 --cpus=32 --gpus=2 \
  python -m runtime.launch.marked python -m verl.trainer.main_ppo \
  --config-path "$(dirname "$LETHE_CONFIG")" --config-name "$(basename "$LETHE_CONFIG" .yaml)"
