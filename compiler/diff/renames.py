"""Which removed and added jobs are one job under two names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from compiler.plan.canonical import plain
from compiler.plan.plan import Job
from compiler.text import canonical_json

Content = tuple[str, tuple[tuple[str, str], ...]]


def renames(removed: Sequence[Job], added: Sequence[Job]) -> dict[str, str]:
    """The new names of renamed jobs, with their old ones.

    Two jobs are one if they have the same fingerprint; or, where something above them changed, if they have the same content
    of their own and read, under the same input names, the same jobs or jobs that are themselves renamed. `added` must stand
    in the plan's order, inputs first.
    """
    same: dict[str, list[str]] = {}
    for job in reversed(removed):
        same.setdefault(job.fingerprint, []).append(job.id)
    found = {job.id: same[job.fingerprint].pop() for job in added if same.get(job.fingerprint)}
    taken = set(found.values())
    left = {_content(job, {}): job.id for job in reversed(removed) if job.id not in taken}
    for job in added if left else ():
        if job.id not in found:
            was = left.pop(_content(job, found), None)
            if was is not None:
                found[job.id] = was
    return found


def _content(job: Job, renamed: Mapping[str, str]) -> Content:
    """What a job is without its name and its fingerprint: its own decisive part, and the old names of what it reads."""
    own = (job.kind, job.backend, job.what, job.code, job.config, job.output)
    return canonical_json(plain(own)), tuple(sorted(_read(job, renamed)))


def _read(job: Job, renamed: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    return ((edge.name, renamed.get(edge.job, edge.job)) for edge in job.inputs)
