"""How a training that its time limit would end goes on: when it is told to save, and how often it starts."""

from __future__ import annotations

import math

from compiler.language.places import Cluster
from compiler.plan.plan import Job


def notice(job: Job, cluster: Cluster) -> int | None:
    """Seconds before its time limit at which a training is told to save, and to end; at most a quarter of its time."""
    quarter = int(job.cost["limit_hours"] * 3600 / 4)
    return min(cluster.restarts.notice, quarter) if job.kind == "train" else None


def links(job: Job, cluster: Cluster) -> int:
    """How many jobs, one behind the other, a training goes in as where Slurm may not start it again."""
    asked, before = cluster.restarts, notice(job, cluster)
    if before is None or asked.requeue or cluster.executor != "slurm":
        return 1
    return asked.links or min(asked.attempts, starts_needed(job, cluster))


def starts(job: Job, cluster: Cluster) -> int:
    """How often a job starts, as far as is known."""
    return min(starts_needed(job, cluster), starts_allowed(job, cluster))


def starts_needed(job: Job, cluster: Cluster) -> int:
    """How often a job must start for its estimated hours; once where there is no estimate."""
    took, before = job.cost.get("hours"), notice(job, cluster) or 0
    return 1 if took is None else max(1, math.ceil(took / (job.cost["limit_hours"] - before / 3600)))


def starts_allowed(job: Job, cluster: Cluster) -> int:
    """How often a job may start, each time from where it was stopped."""
    if job.kind != "train":
        return 1
    return cluster.restarts.attempts if cluster.restarts.requeue else links(job, cluster)
