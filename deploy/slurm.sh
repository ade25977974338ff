#!/usr/bin/env bash
# One training run on several nodes of a Slurm cluster, a worker on each:
#
#   sbatch --nodes=4 --cpus-per-task=16 deploy/slurm.sh cifar10 --out /shared/cifar10
#
# What follows the script's name is for `mtf run`. Every node needs mtf on its PATH and the dataset
# (TFDS_DATA_DIR); only the first one writes. Run it again, or let Slurm requeue it, and training
# goes on after the last finished epoch.
#SBATCH --job-name=mtf
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=mtf-%j.log
set -euo pipefail

# srun does not take this over from sbatch since Slurm 22.05.
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
exec srun --kill-on-bad-exit=1 mtf run "${@:-quickstart}" --quiet
