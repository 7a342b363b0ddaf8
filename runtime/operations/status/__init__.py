"""How a compiled study is doing: a matrix of its cells, its jobs by kind and state; what failed, why, and where its log is.

Reads the plan, the store (done-markers, progress, attempts, marks of truncation), the ledger and, where Slurm runs the plan,
one squeue call and at most one of sacct. Without sacct, or without any Slurm, it tells what the files tell, and says so.

    done       its done-marker carries the plan's fingerprint, and the checkpoints of the plan's steps are there
    running    under way
    queued     Slurm will start it as soon as there is room
    held       in Slurm's queue, and kept from starting until somebody releases it
    waiting    submitted; it waits for other jobs
    truncated  ended before its last step; a checkpoint is there to go on from, and what needs it is refused
    failed     submitted or started, no longer under way, and not done
    upstream   it can never start: something that it needs failed, was cancelled, or is truncated
    cancelled  withdrawn by somebody
    unknown    submitted, but neither Slurm nor the files know what became of it
    stale      not submitted with this fingerprint; the result of another one is there
    never      not submitted with this fingerprint
"""

from __future__ import annotations

from runtime.operations.status.show import show
from runtime.operations.status.states import BROKEN, LIVE, STATES, State, Status, status_of
from runtime.operations.status.study import Gate, Study, read_study

__all__ = ["BROKEN", "LIVE", "STATES", "Gate", "State", "Status", "Study", "read_study", "show", "status_of"]
