"""What differs between two plans: jobs added, removed, renamed and changed, and why.

A change of a job's own decisive part invalidates its result; where only the inputs' fingerprints changed, the job is stale;
where the fingerprint stayed, the change is one of execution, or cosmetic. Equal changes of many jobs are one Change.
Comparing takes time proportional to the size of the plans.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from compiler.diff.changes import (
    ABSENT,
    COSMETIC,
    EXECUTION,
    INVALIDATES,
    Comparison,
    Difference,
    Effect,
    compare_jobs,
    flat_differences,
)
from compiler.diff.renames import renames
from compiler.plan.plan import Job, Plan

_SCRIPTS = ("jobs/", "configs/", "submit_all.sh")  # what is run; the other files tell of it
_RUN = ("cluster", "executor", "store")  # fields of a plan that say how all of it is run
_FOLLOWS = {"study", "spec", "axes", "cells", "jobs", "sharing"}  # from the jobs, or it is what was asked to be compared


@dataclass(frozen=True)
class Change:
    """One field, with its old and its new value, in all the jobs where it changed alike; in no job, it is the whole plan's.

    Where the values are names that differ only by the job's own cell, they have `{axis}` in place of the cell's value.
    """

    field: str
    old: Any
    new: Any
    effect: Effect
    jobs: tuple[str, ...]


@dataclass(frozen=True)
class Rename:
    """One job under two names; `stale` if its fingerprint changed, too, by something above it."""

    old: str
    new: str
    stale: bool


@dataclass(frozen=True)
class Diff:
    """Two plans compared. `stale` jobs are the same themselves, but something above them changed: `because` names that job.

    `files` are all that compiling would write or remove: scripts hold more than the plan does, such as what a shell loads.
    `edited` are those of the generated folder that are not as they were compiled.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    renamed: tuple[Rename, ...] = ()
    changes: tuple[Change, ...] = ()
    stale: tuple[str, ...] = ()
    because: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.touches_jobs or self.changes or self.files or self.edited)

    @property
    def touches_jobs(self) -> bool:
        """Whether any job differs in more than what follows from the plan as a whole."""
        return bool(self.added or self.removed or self.renamed or self.stale or any(change.jobs for change in self.changes))

    @property
    def changed(self) -> frozenset[str]:
        """The jobs that are in both plans, in whatever way they changed themselves; the renamed ones by their new names."""
        return frozenset(job for change in self.changes for job in change.jobs) | {item.new for item in self.renamed}

    @property
    def invalid(self) -> frozenset[str]:
        """The jobs whose own decisive part changed."""
        return frozenset(job for change in self.changes if change.effect == INVALIDATES for job in change.jobs)

    @property
    def files_effect(self) -> Effect:
        """What differing files mean where no job changed."""
        own = set(self.files) - set(self.edited)
        return EXECUTION if any(name.startswith(_SCRIPTS) for name in own) else COSMETIC

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "empty": self.empty}


def compare(old: Plan | None, new: Plan, files: Sequence[str] = (), edited: Sequence[str] = ()) -> Diff:
    """What `new` changes about `old`, None where nothing was compiled before, and so about these generated `files`."""
    before = {job.id: job for job in old.jobs} if old else {}
    after = {job.id: job for job in new.jobs}
    gone = [job for name, job in before.items() if name not in after]
    come = [job for name, job in after.items() if name not in before]
    renamed = renames(gone, come)
    pairs = [(before[renamed.get(name, name)], job) for name, job in after.items() if name in before or name in renamed]
    compared = [(job, was.fingerprint != job.fingerprint, compare_jobs(was, job, renamed)) for was, job in pairs]
    because = dict(_roots((job, found) for job, invalid, found in compared if invalid and not found.invalidates))
    old_names = set(renamed.values())
    return Diff(
        added=tuple(job.id for job in come if job.id not in renamed),
        removed=tuple(job.id for job in gone if job.id not in old_names),
        renamed=tuple(Rename(was, now, now in because) for now, was in renamed.items()),
        changes=(*(_of_plan(old, new) if old else ()), *_grouped((job, found) for job, _, found in compared)),
        stale=tuple(because), because=because,
        files=tuple(files), edited=tuple(edited),
    )  # fmt: skip


def _roots(stale: Iterator[tuple[Job, Comparison]]) -> Iterator[tuple[str, str]]:
    """Each stale job with the job whose change it goes back to; inputs come before what reads them."""
    found: dict[str, str] = {}
    for job, comparison in stale:
        first = comparison.stale_inputs[0]
        found[job.id] = found.get(first, first)
        yield job.id, found[job.id]


def _of_plan(old: Plan, new: Plan) -> Iterator[Change]:
    """What changed about the plan beside its jobs."""
    for name in (f.name for f in fields(Plan) if f.name not in _FOLLOWS):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            for place, was, now in flat_differences(f"plan.{name}", before, after):
                yield Change(place, was, now, EXECUTION if name in _RUN else COSMETIC, ())


def _grouped(compared: Iterator[tuple[Job, Comparison]]) -> tuple[Change, ...]:
    """Equal changes of several jobs as one."""
    groups: dict[tuple[str, str, str, Effect], list[tuple[Job, Difference]]] = {}
    for job, comparison in compared:
        for found in comparison.own:
            key = (found.field, repr(_general(found.field, found.old, job)), repr(_general(found.field, found.new, job)))
            groups.setdefault((*key, found.effect), []).append((job, found))
    return tuple(_change(found) for found in groups.values())


def _change(found: Sequence[tuple[Job, Difference]]) -> Change:
    job, first = found[0]
    old, new = first.old, first.new
    if any((other.old, other.new) != (old, new) for _, other in found):
        old, new = _general(first.field, old, job), _general(first.field, new, job)
    return Change(first.field, old, new, first.effect, tuple(job.id for job, _ in found))


def _general(place: str, value: Any, job: Job) -> Any:
    """The name of an input, with the values of the job's cell in it replaced by their axes; any other value as it is."""
    if not job.cell or value == ABSENT or not place.startswith("input.") or not isinstance(value, str):
        return value
    for axis, own in sorted(job.cell.items(), key=lambda item: -len(item[1])):
        value = re.sub(rf"(?<![A-Za-z0-9]){re.escape(own)}(?![A-Za-z0-9])", f"{{{axis}}}", value)
    return value
