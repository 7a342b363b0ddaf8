"""What a difference of plans costs: what has to be made again, what is lost, and in how many GPU-hours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from compiler.diff.compare import Diff
from compiler.plan.gpu_hours import expected, worst
from compiler.plan.plan import SHORT, Job, Plan

Made = tuple[str, str]  # a job and a fingerprint of it


@dataclass(frozen=True)
class Toll:
    """What follows from a difference. GPU-hours are of all that has to run; `worst` is at the jobs' time limits.

    `again` are jobs whose result is no longer the plan's, and `again_worst` their GPU-hours at most. `invalidated` are finished
    results among them, `there` the jobs whose new result is finished already, both None where the store was not read. `moved`
    are finished results of renamed jobs, old folder and new one in the store: they count as to be run, since only who moves
    the folder keeps the result.
    """

    again: tuple[str, ...]
    again_worst: float
    expected: float
    worst: float
    invalidated: int | None
    there: int | None
    moved: tuple[tuple[str, str], ...] = ()


def asked_of_store(diff: Diff, old: Plan | None, new: Plan) -> list[Made]:
    """The results on which the toll depends, if they are finished."""
    before, after = _fingerprints(old), _fingerprints(new)
    old_names = {item.new: item.old for item in diff.renamed}
    touched = [*diff.added, *diff.invalid, *diff.stale, *old_names]
    made = [(name, after[name]) for name in touched]
    was = (old_names.get(name, name) for name in touched)
    return list(dict.fromkeys([*made, *((name, before[name]) for name in was if name in before)]))


def toll(diff: Diff, old: Plan | None, new: Plan, done: Set[Made] | None) -> Toll:
    """What `diff` costs, where the results in `done` are finished (None: nobody knows)."""
    before, jobs = _fingerprints(old), {job.id: job for job in new.jobs}
    old_names = {item.new: item.old for item in diff.renamed}
    finished = done or frozenset()
    changed = diff.invalid.union(diff.stale)
    again = [job for job in new.jobs if job.id in changed and (job.id, job.fingerprint) not in finished]
    added = [jobs[name] for name in diff.added if (name, jobs[name].fingerprint) not in finished]
    lost = [name for name in changed if (was := old_names.get(name, name)) in before and (was, before[was]) in finished]
    moving = [
        jobs[item.new] for item in diff.renamed if item.new not in changed and _left_behind(item.old, jobs[item.new], finished)
    ]
    runs = [*again, *added, *moving]
    return Toll(
        again=tuple(job.id for job in again), again_worst=_sum(map(worst, again)),
        expected=_sum(map(expected, runs)), worst=_sum(map(worst, runs)),
        invalidated=None if done is None else len(lost),
        there=None if done is None else len(changed) + len(diff.added) - len(again) - len(added),
        moved=tuple((_folder(old_names[job.id], job.fingerprint), job.path) for job in moving),
    )  # fmt: skip


def _left_behind(was: str, job: Job, finished: Set[Made]) -> bool:
    """Whether a renamed job's result is finished under its old name only."""
    return (was, job.fingerprint) in finished and (job.id, job.fingerprint) not in finished


def _folder(job: str, fingerprint: str) -> str:
    return f"{job}-{fingerprint[:SHORT]}"


def _fingerprints(plan: Plan | None) -> Mapping[str, str]:
    return {job.id: job.fingerprint for job in plan.jobs} if plan else {}


def _sum(hours: Iterable[float]) -> float:
    """Rounded to what a plan can know, so that the order of jobs does not show."""
    return round(sum(hours), 3)
