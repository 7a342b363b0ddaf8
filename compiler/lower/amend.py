"""Amendments: what lies on top of every layer of every job's settings: a lock's commits, a canary's few steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from compiler.diagnostics import Position
from compiler.language.source import PathKey, Tree, merged

Change = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]


def nothing(kind: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A change that changes nothing."""
    return {}


@dataclass(frozen=True)
class Amendment:
    """Values that replace a job's own. Each change maps a job's kind and values to what takes the place of some of them."""

    label: str
    settings: Change = nothing
    execution: Change = nothing


def amended(values: Tree, kind: str, changes: Iterable[tuple[str, Change]]) -> Tree:
    """`values` with every labelled change on top."""
    for label, change in changes:
        over = change(kind, values.data)
        values = merged(values, _layer(label, over)) if over else values
    return values


def _layer(label: str, data: Mapping[str, Any]) -> Tree:
    """Values that stand in no line of a file."""
    keys: dict[PathKey, Position] = {(name,): Position(label) for name in data}
    return Tree(label, dict(data), {(): Position(label), **keys}, keys, label)
