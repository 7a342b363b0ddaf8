"""Why each job differs: the full form of a difference."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from compiler.diff.compare import Diff
from compiler.diff.values import text_of
from compiler.plan.plan import Job, Plan

MOST_TEXTS = 12  # for one job

Axes = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Reason:
    """One job that differs: `+ ~ - -/+ =`, its name, and why."""

    sign: str
    job: str
    why: str


def reasons(diff: Diff, old: Plan | None, new: Plan, unseen: str = "") -> list[Reason]:
    """Every job that differs, in the plan's order, the removed ones last. `unseen`, if set, says why jobs are added."""
    texts, old_names = _texts(diff), {item.new: item.old for item in diff.renamed}
    invalid, added, removed = diff.invalid, set(diff.added), set(diff.removed)
    before, readers = _cells(old), _readers(new)
    found: list[Reason] = []
    for job in new.jobs:
        why = [f"renamed from {old_names[job.id]}"] if job.id in old_names else []
        why += [f"made from {diff.because[job.id]}, which changes"] if job.id in diff.because else []
        why += texts.get(job.id, [])
        if job.id in added:
            found.append(Reason("+", job.id, unseen or _added(job, before, readers)))
        elif why:
            own = job.id in texts or job.id in old_names
            found.append(Reason("-/+" if job.id in invalid else "~" if own else "=", job.id, _short(why)))
    gone = [job for job in old.jobs if job.id in removed] if old else []
    after, was_read, there = _cells(new), _readers(old), {job.id for job in new.jobs}
    return found + [Reason("-", job.id, _removed(job, after, was_read, there)) for job in gone]


def _short(why: list[str]) -> str:
    """All reasons on one line; of a report, whose inputs may be thousands, the first ones."""
    more = [f"and {len(why) - MOST_TEXTS:,} more"] if len(why) > MOST_TEXTS else []
    return "; ".join(why[:MOST_TEXTS] + more)


def _texts(diff: Diff) -> dict[str, list[str]]:
    """The changed fields of each job."""
    found: dict[str, list[str]] = {}
    for change in diff.changes:
        text = text_of(change.field, change.old, change.new)
        for job in change.jobs:
            found.setdefault(job, []).append(text)
    return found


def _added(job: Job, before: Set[Axes], readers: Mapping[str, str]) -> str:
    if job.cell and _axes(job) not in before:
        return "its cell is new"
    return f"{readers[job.id]} reads it" if job.id in readers else "it is new"


def _removed(job: Job, after: Set[Axes], readers: Mapping[str, str], there: Set[str]) -> str:
    if job.cell and _axes(job) not in after:
        return "its cell is gone"
    reader = readers.get(job.id)
    if reader is None:
        return "the plan does without it"
    return f"{reader} reads it no more" if reader in there else f"{reader}, which read it, is gone"


def _readers(plan: Plan | None) -> dict[str, str]:
    """The first job that reads each job."""
    found: dict[str, str] = {}
    for job in plan.jobs if plan else ():
        for edge in job.inputs:
            found.setdefault(edge.job, job.id)
    return found


def _cells(plan: Plan | None) -> Set[Axes]:
    return {_axes(job) for job in plan.jobs if job.cell} if plan else set()


def _axes(job: Job) -> Axes:
    return tuple(sorted((job.cell or {}).items()))
