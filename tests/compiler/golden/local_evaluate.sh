#!/bin/bash
#SBATCH --job-name=toy.evaluate.gt_sft_facts_base_nano.skills.602d2578
#SBATCH --time=90
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --requeue
#SBATCH --open-mode=append

# evaluate/gt_sft_facts_base_nano.skills: 3 inputs -> scores
set -euo pipefail
unset SLURM_EXPORT_ENV  # else srun hides from its tasks what is exported below
cd "${LETHE_ROOT:-${SLURM_SUBMIT_DIR:?}}"
export LETHE_ROOT="$PWD" LETHE_REQUEUE=yes LETHE_ATTEMPTS=8

export OMP_NUM_THREADS="1"
# shellcheck disable=SC1090,SC1091
. ".venv/bin/activate"

export LETHE_STORE=${LETHE_STORE:-"$LETHE_ROOT/store"}
export LETHE_OUT="$LETHE_STORE/evaluate/gt_sft_facts_base_nano.skills-602d25784e0f"
export LETHE_CONTRACT="$PWD/generated/toy/jobs/evaluate/gt_sft_facts_base_nano.skills.json"
export LETHE_CONFIG="$PWD/generated/toy/configs/evaluate/gt_sft_facts_base_nano.skills.yaml"

exec python -m runtime evaluate "$LETHE_CONTRACT"
