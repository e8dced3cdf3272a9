#!/usr/bin/env bash
# Fine-tune on several hosts of a Slurm cluster: one process for each GPU, all of them one run.
#
#   sbatch examples/slurm.sh --model FOLDER --train tickets.csv --output /shared/runs/tickets
#   sbatch examples/slurm.sh --resume /shared/runs/tickets
#
# Arguments are those of `zojax finetune`. Every host must see the model, the data and the output.
# Before the time is over Slurm sends SIGTERM: the run saves its state, and --resume goes on.
#SBATCH --job-name=zojax
#SBATCH --nodes=2
#SBATCH --gpus-per-node=4
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=08:00:00
#SBATCH --signal=TERM@300
set -euo pipefail

# Process 0 is on the first host and listens there; jobs on one host must not share the port.
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
host=${hosts%%$'\n'*}
export ZOJAX_COORDINATOR="$host:$((20000 + SLURM_JOB_ID % 20000))"

# Each process sees all GPUs of its host, so that they can reach each other, and takes its own.
srun --gpu-bind=none --kill-on-bad-exit=1 bash -c '
    export JAX_LOCAL_DEVICE_IDS=$SLURM_LOCALID
    exec zojax finetune "$@" \
        --coordinator "$ZOJAX_COORDINATOR" \
        --num-processes "$SLURM_NTASKS" \
        --process-id "$SLURM_PROCID"
' zojax-finetune "$@"
