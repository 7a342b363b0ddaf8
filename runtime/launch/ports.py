"""Ports of a job's own, so that two jobs on one node do not meet: 200 of them, from a number that its id in Slurm gives.

They lie between 10,000 and 32,000, below those that Linux gives out by itself. Scripts reckon the first one in the same way
(templates/backends/launch.j2).
"""

from __future__ import annotations

import os

FIRST = 10_000
BLOCKS = 110
EACH = 200


def first() -> int:
    """The first port of this job; without Slurm, of this process."""
    return FIRST + int(os.environ.get("SLURM_JOB_ID") or os.getpid()) % BLOCKS * EACH
