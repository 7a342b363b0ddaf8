"""The lock file, `SPEC.lock` beside a spec: read, written as stable text, and laid over the settings of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from compiler.language.source import read_tree
from compiler.language.study import Name
from compiler.language.validation import Strict, parse
from compiler.lock.pins import Pin, pins_of
from compiler.lower.amend import Amendment
from compiler.text import yaml_block

VERSION = 1

Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Revisions = dict[str, dict[str, Commit]]


class Lock(Strict):
    """What a lock says: by hub name and by the revision that the spec asks for, the commit; by path, a file's sha256; by the
    cluster's environment, the sha256 of its lock.

    `unresolved` names what could not be locked where the lock was written, and why.
    """

    lethe: Literal[1]
    study: Name
    models: Revisions = Field(default={})
    datasets: Revisions = Field(default={})
    files: dict[str, Digest] = Field(default={})
    environments: dict[str, Digest] = Field(default={})
    unresolved: dict[str, str] = Field(default={})

    def commit(self, pin: Pin) -> str | None:
        """The commit that a pin is locked to."""
        found: Revisions = getattr(self, pin.group)
        return found.get(pin.name, {}).get(pin.revision)


@dataclass(frozen=True)
class Locked:
    """A lock with the file it stands in."""

    path: Path
    lock: Lock

    def amendment(self) -> Amendment:
        """The lock as a layer on top of every job's settings."""
        return Amendment(f"lock {self.path.name}", self._settings)

    def _settings(self, kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The revisions that the lock replaces in a job's settings."""
        over: dict[str, Any] = {}
        for path, pin in pins_of(kind, settings):
            commit = self.lock.commit(pin)
            if commit is not None and commit != pin.revision:
                _put(over, (*path, "revision"), commit)
        return over


def _put(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for step in path[:-1]:
        data = data.setdefault(step, {})
    data[path[-1]] = value


def lock_of(spec: Path) -> Path:
    """Where the lock of a spec lies: phase1.lock beside phase1.yaml."""
    return spec.with_suffix(".lock")


def read_lock(spec: Path) -> Locked | None:
    """The lock of a spec, None where it has none. Raises SpecError for a file that is not a lock."""
    path = lock_of(spec)
    return Locked(path, parse(Lock, read_tree(path))) if path.exists() else None


def text_of(lock: Lock, spec: Path) -> str:
    """The lock as a file: keys sorted, so that the same lock is the same text."""
    data = {
        "lethe": VERSION, "study": lock.study, "models": _sorted(lock.models), "datasets": _sorted(lock.datasets),
        "files": _sorted(lock.files), "environments": _sorted(lock.environments), "unresolved": _sorted(lock.unresolved),
    }  # fmt: skip
    head = f"# Written by `lethe lock {spec.name}`, to be committed: what each moving name of the study stands for.\n"
    return head + yaml_block({key: value for key, value in data.items() if value != {}})


def _sorted(value: Any) -> Any:
    return {key: _sorted(value[key]) for key in sorted(value)} if isinstance(value, dict) else value
