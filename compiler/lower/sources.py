"""Who says the values of a job, and where: what `lethe explain` tells, and what comments in configs cite."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.diagnostics import Position
from compiler.language.source import PathKey, Tree
from compiler.lower.alike import Family
from compiler.plan.provenance import COMPILER

# What a value is that no definition sets: handed to whatever backend asks for it by name.
GIVEN: Mapping[str, str] = {
    "grader": "the domain's grader", "prompt": "the start's prompt", "suite": "the suite's name",
    "tasks": "the suite's domains",
    "type": "the dataset's type", "format": "the backend that trains on it", "domain": "the domain's name",
    "step": "what begins from this checkpoint, or measures it", "devices": "the GPUs of the job's resources, or 1",
    "nodes": "the nodes of the job's resources",
    "report_to": "the study's tracking",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the values of a job come from: trees that know their layers. What no layer has was given, as GIVEN says. `family`
    are the settings that differ from these in some numbers alone."""

    settings: Tree
    execution: Tree
    resources: Tree
    family: Family | None = None


@dataclass(frozen=True)
class Said:
    """What one layer says of a value, and where; `place` is None for what the compiler itself adds."""

    source: str
    place: Position | None
    value: Any


def chain(tree: Tree, field: tuple[str, ...], value: Any) -> tuple[Said, ...]:
    """What the layers of a job's tree say, the one that holds last; what is in none of them was given, or is a default.

    `field` begins with the group that `tree` is.
    """
    group, name = field[:2]
    if (name,) in tree.keys or name not in GIVEN:
        said = tuple(Said(label or COMPILER, at if at.line else None, found) for label, at, found in tree.chain(field[1:]))
        if said:
            return said
    if group == "resources":
        return (Said("the definition that asks for resources" if name == "class" else "default", None, value),)
    return (Said(GIVEN.get(name, COMPILER), None, value),)


def citing(sources: Sources | None, files: dict[str, str] | None = None) -> Callable[[tuple[str, ...]], str]:
    """What to cite for a field of settings or execution: file and line, or who gave it; nothing for what the job has not.

    `files` keeps how files are called from here, for whoever cites for many jobs.
    """
    if sources is None:
        return lambda field: ""
    trees, files = {"settings": sources.settings, "execution": sources.execution}, {} if files is None else files

    def cite(field: tuple[str, ...]) -> str:
        tree = trees[field[0]]
        if not _has(tree.data, field[1:]):
            return ""
        last = chain(tree, field, None)[-1]
        if last.place is None:
            return last.source
        file = files.get(last.place.file) or files.setdefault(last.place.file, _from_here(last.place.file))
        return f"{file}:{last.place.line}"

    return cite


def _from_here(file: str) -> str:
    return Path(os.path.relpath(file)).as_posix()


def _has(data: Any, path: PathKey) -> bool:
    for step in path:
        if not isinstance(data, Mapping) or step not in data:
            return False
        data = data[step]
    return True
