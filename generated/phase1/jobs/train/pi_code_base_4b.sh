#!/bin/bash
#SBATCH --job-name=phase1.train.pi_code_base_4b.b3a59292
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

# train/pi_code_base_4b: 2 inputs -> checkpoint.hf
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
. "$SCRATCH/lethe-envs/trl-eval/bin/activate"

export LETHE_STORE=${LETHE_STORE:-"$SCRATCH/lethe"}
export LETHE_OUT="$LETHE_STORE/train/pi_code_base_4b-b3a59292763b"
export LETHE_CONTRACT="$PWD/generated/phase1/jobs/train/pi_code_base_4b.json"
export LETHE_CONFIG="$PWD/generated/phase1/configs/train/pi_code_base_4b.yaml"
export WANDB_MODE=offline WANDB_PROJECT=forgetting WANDB_NAME=pi_code_base_4b
export WANDB_RUN_ID=b3a59292763b43cb WANDB_RESUME=allow WANDB_DIR="$LETHE_OUT"

exec torchrun --signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 --standalone --nproc-per-node=2 -m runtime train "$LETHE_CONTRACT"
