"""What differs between two plans: jobs added, removed and changed, and why.

A changed fingerprint invalidates the job's result; where only the inputs' fingerprints changed, the job is stale; where the
fingerprint stayed, the change is one of execution. Equal changes of many jobs are shown once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from compiler.plan.plan import Job, Plan

Class = Literal["invalidates results", "execution only"]

ABSENT = "(absent)"
MOST_NAMES = 4


@dataclass(frozen=True)
class Change:
    """One field, with its old and its new value, in all the jobs where it changed alike."""

    field: str
    old: Any
    new: Any
    effect: Class
    jobs: tuple[str, ...]


@dataclass(frozen=True)
class Diff:
    """Two plans compared. `stale` jobs are the same themselves, but something above them changed.

    `files` are all that compiling would write or remove: scripts hold more than the plan does, such as what a shell loads.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changes: tuple[Change, ...]
    stale: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def empty(self) -> bool:
        return not (self.added or self.removed or self.changes or self.stale or self.files)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "empty": self.empty}


def compare(old: Plan | None, new: Plan, files: Sequence[str]) -> Diff:
    """What `new` changes about `old`, None where nothing was compiled before, and so about these generated `files`."""
    before = {job.id: job for job in old.jobs} if old else {}
    after = {job.id: job for job in new.jobs}
    both = [job for job in new.jobs if job.id in before]
    own = {job.id: _own_changes(before[job.id], job) for job in both}
    invalid = {job.id for job in both if before[job.id].fingerprint != job.fingerprint}
    return Diff(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changes=_grouped(own, invalid),
        stale=tuple(job.id for job in both if job.id in invalid and not own[job.id]),
        files=tuple(files),
    )


def render(diff: Diff, study: str) -> str:
    """The difference as people read it."""
    if diff.empty:
        return f"{study}: no changes; what is generated is what the spec compiles to."
    lines = [f"{study}:"]
    lines += [f"  + {name}" for name in _shortened(diff.added)]
    lines += [f"  - {name}" for name in _shortened(diff.removed)]
    for change in diff.changes:
        sign = "-/+" if change.effect == "invalidates results" else "~"
        lines.append(f"  {sign} {change.field}: {_shown(change.old)} -> {_shown(change.new)}  ({change.effect})")
        lines += [f"        {name}" for name in _shortened(change.jobs)]
    if diff.stale:
        lines.append(f"  = {len(diff.stale)} jobs become stale: the same themselves, with changed inputs")
        lines += [f"        {name}" for name in _shortened(diff.stale)]
    if not (diff.added or diff.removed or diff.changes or diff.stale):
        lines.append("  ~ no job changes; only these files differ  (execution only)")
        lines += [f"        {name}" for name in _shortened(diff.files)]
    return "\n".join([*lines, _summary(diff)])


def _summary(diff: Diff) -> str:
    changed = {job for change in diff.changes for job in change.jobs}
    invalid = {job for change in diff.changes if change.effect == "invalidates results" for job in change.jobs}
    return (
        f"Plan: {len(diff.added)} to add, {len(changed)} to change ({len(invalid)} invalidate results), "
        f"{len(diff.removed)} to remove; {len(diff.stale)} become stale. {len(diff.files)} generated files differ."
    )


def _grouped(own: Mapping[str, Sequence[tuple[str, Any, Any]]], invalid: set[str]) -> tuple[Change, ...]:
    """Equal changes of several jobs as one."""
    groups: dict[tuple[str, str, str, Class], list[tuple[str, Any, Any]]] = {}
    for job, changes in own.items():
        for field, old, new in changes:
            effect: Class = "invalidates results" if job in invalid and not _is_execution(field) else "execution only"
            groups.setdefault((field, repr(old), repr(new), effect), []).append((job, old, new))
    return tuple(
        Change(field, found[0][1], found[0][2], effect, tuple(job for job, _, _ in found))
        for (field, _, _, effect), found in groups.items()
    )


def _own_changes(old: Job, new: Job) -> list[tuple[str, Any, Any]]:
    """The fields in which two jobs of one id differ, apart from fingerprints."""
    before, after = _fields(old), _fields(new)
    names = list(dict.fromkeys([*before, *after]))
    return [(n, before.get(n, ABSENT), after.get(n, ABSENT)) for n in names if before.get(n, ABSENT) != after.get(n, ABSENT)]


def _fields(job: Job) -> dict[str, Any]:
    """A job's fields, flat: `config.lr`, `resources.time`, `input.start`."""
    whole = {
        "kind": job.kind, "backend": job.backend, "what": job.what, "code": job.code, "output": job.output,
        "environment": job.environment, "config": job.config, "execution": job.execution, "resources": job.resources,
        "input": {edge.name: edge.job for edge in job.inputs},
    }  # fmt: skip
    return dict(_flat(whole, ""))


def _is_execution(field: str) -> bool:
    return field.split(".")[0] in ("execution", "resources", "environment")


def _flat(value: Any, name: str) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _shortened(names: Sequence[str]) -> list[str]:
    if len(names) <= MOST_NAMES + 1:
        return list(names)
    return [*names[:MOST_NAMES], f"... and {len(names) - MOST_NAMES} more"]


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
