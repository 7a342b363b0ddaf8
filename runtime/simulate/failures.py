"""Which jobs are to fail, and of what: named, or drawn by lot."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from runtime.errors import JobError

REASONS: Mapping[str, str] = {
    "FAILED": "NonZeroExitCode",
    "TIMEOUT": "TimeLimit",
    "OUT_OF_MEMORY": "OutOfMemory",
    "NODE_FAIL": "NodeDown",
    "PREEMPTED": "Preempted",
    "CANCELLED": "withdrawn by hand",
}
REQUEUED = ("NODE_FAIL", "PREEMPTED")  # with these a job that may be requeued runs again


def chosen(jobs: Sequence[str], named: Sequence[str], probability: float, seed: int) -> dict[str, str]:
    """The end of each job that is to fail, by job; a named one goes before a drawn one, and a later name before an earlier.

    A name is JOB=END, JOB with the wildcards * ? []. Each job's lot depends on its id and the seed alone. Raises JobError.
    """
    if not 0 <= probability <= 1:
        raise JobError(f"--random {probability:g}: a probability lies between 0 and 1")
    return dict(_drawn(jobs, probability, seed)) | dict(pair for name in named for pair in _named(jobs, name))


def _drawn(jobs: Sequence[str], probability: float, seed: int) -> Iterator[tuple[str, str]]:
    for job in jobs:
        lot = random.Random(f"{seed} {job}")
        if lot.random() < probability:
            yield job, lot.choice(list(REASONS))


def _named(jobs: Sequence[str], name: str) -> list[tuple[str, str]]:
    pattern, _, end = name.rpartition("=")
    if not pattern or end not in REASONS:
        raise JobError(f"--fail {name}: it is JOB=END, with END one of {', '.join(REASONS)}; for example 'train/*=TIMEOUT'")
    found = [job for job in jobs if fnmatchcase(job, pattern)]
    if not found:
        near = get_close_matches(pattern, jobs, n=3, cutoff=0.5)
        raise JobError(
            f"--fail {name}: no job is named so; " + (f"near it: {', '.join(near)}" if near else "lethe ls lists them")
        )
    return [(job, end) for job in found]
