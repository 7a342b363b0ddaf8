"""Pins: the hub models and data sets that a job names, each at a revision."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from compiler.plan.plan import Job

Group = Literal["models", "datasets"]

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, order=True)
class Pin:
    """A model or data set of the hub at a commit, tag or branch."""

    group: Group
    name: str
    revision: str

    @property
    def fixed(self) -> bool:
        """Whether it names a commit, which cannot move."""
        return is_commit(self.revision)

    def __str__(self) -> str:
        return f"{'model' if self.group == 'models' else 'data set'} {self.name} at {self.revision}"


def is_commit(revision: str) -> bool:
    return _COMMIT.fullmatch(revision) is not None


def pins_of(kind: str, settings: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Pin]]:
    """Every mapping with a `hub` and a `revision` in a job's settings, by where it stands; only fetch jobs name models."""
    group: Group = "models" if kind == "fetch" else "datasets"
    yield from _found(group, settings, ())


def _found(group: Group, value: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Pin]]:
    hub, revision = value.get("hub"), value.get("revision")
    if isinstance(hub, str) and isinstance(revision, str):
        yield path, Pin(group, hub, revision)
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _found(group, inner, (*path, key))


def pins(jobs: Iterable[Job]) -> list[Pin]:
    """Every pin of a plan once, sorted."""
    distinct = {(job.kind, id(job.settings)): job for job in jobs}.values()
    return sorted({pin for job in distinct for _, pin in pins_of(job.kind, job.settings)})
