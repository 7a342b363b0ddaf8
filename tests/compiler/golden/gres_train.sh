#!/bin/bash
#SBATCH --job-name=toy.train.gt_sft_facts_base_nano.a1ceaa5a
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

# train/gt_sft_facts_base_nano: 2 inputs -> checkpoint.hf
set -euo pipefail
unset SLURM_EXPORT_ENV  # else srun hides from its tasks what is exported below
cd "${LETHE_ROOT:-${SLURM_SUBMIT_DIR:?}}"
export LETHE_ROOT="$PWD" LETHE_REQUEUE=yes LETHE_ATTEMPTS=8
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=300  # seconds that torchrun leaves its processes to save

unset ROCR_VISIBLE_DEVICES
export HF_HOME="$SCRATCH/huggingface"
export GREETING="it's \"5 o'clock\" \`date\` \$(date) 100% \$5"
export OMP_NUM_THREADS=4  # of each process: a node's CPUs over its GPUs
# shellcheck disable=SC1090,SC1091
. "$SCRATCH/envs/train/bin/activate"

export LETHE_STORE=${LETHE_STORE:-"$SCRATCH/lethe"}
export LETHE_OUT="$LETHE_STORE/train/gt_sft_facts_base_nano-a1ceaa5aaa26"
export LETHE_CONTRACT="$PWD/generated/toy/jobs/train/gt_sft_facts_base_nano.json"
export LETHE_CONFIG="$PWD/generated/toy/configs/train/gt_sft_facts_base_nano.yaml"
export WANDB_MODE=offline WANDB_PROJECT=toys WANDB_NAME=gt_sft_facts_base_nano
export WANDB_RUN_ID=a1ceaa5aaa2670b8 WANDB_RESUME=allow WANDB_DIR="$LETHE_OUT"

exec torchrun --signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 --standalone --nproc-per-node=2 -m runtime train "$LETHE_CONTRACT"
