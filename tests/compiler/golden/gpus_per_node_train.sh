#!/bin/bash
#SBATCH --job-name=toy.train.gt_sft_facts_base_nano.a1ceaa5a
#SBATCH --account=def-somebody
#SBATCH --time=12:00:00
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=12
#SBATCH --mem=120G
#SBATCH --gpus-per-node=a100:4
#SBATCH --requeue
#SBATCH --signal=B:USR1@300
#SBATCH --open-mode=append

# train/gt_sft_facts_base_nano: 2 inputs -> checkpoint.hf
set -euo pipefail
unset SLURM_EXPORT_ENV  # else srun hides from its tasks what is exported below
cd "${LETHE_ROOT:-${SLURM_SUBMIT_DIR:?}}"
export LETHE_ROOT="$PWD" LETHE_REQUEUE=yes LETHE_ATTEMPTS=8
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=300  # seconds that torchrun leaves its processes to save

set +u  # a site's own functions read variables that are not set
[[ $(type -t module) == function ]] || . /etc/profile
module load StdEnv/2023 python/3.11
set -u
export OMP_NUM_THREADS=3  # of each process: a node's CPUs over its GPUs

export LETHE_STORE=${LETHE_STORE:-"/project/lethe"}
export LETHE_OUT="$LETHE_STORE/train/gt_sft_facts_base_nano-a1ceaa5aaa26"
export LETHE_CONTRACT="$PWD/generated/toy/jobs/train/gt_sft_facts_base_nano.json"
export LETHE_CONFIG="$PWD/generated/toy/configs/train/gt_sft_facts_base_nano.yaml"
export WANDB_MODE=offline WANDB_PROJECT=toys WANDB_NAME=gt_sft_facts_base_nano
export WANDB_RUN_ID=a1ceaa5aaa2670b8 WANDB_RESUME=allow WANDB_DIR="$LETHE_OUT"

exec torchrun --signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 --standalone --nproc-per-node=4 -m runtime train "$LETHE_CONTRACT"
