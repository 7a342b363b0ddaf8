"""What a job takes of the cluster, in GPU-hours."""

from __future__ import annotations

from compiler.plan.plan import Job


def worst(job: Job) -> float:
    """GPU-hours at the job's time limit."""
    return float(job.cost.get("gpu_hours") or 0)


def expected(job: Job) -> float:
    """GPU-hours as far as the job's pace is known, else those at its time limit."""
    known = job.cost.get("gpu_hours_expected")
    return worst(job) if known is None else float(known)
