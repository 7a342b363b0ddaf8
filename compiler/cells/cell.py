"""A cell: one point of the matrix, with its name and with what its axes and the study's rules set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from compiler.diagnostics import Position
from compiler.language.source import PathKey, Tree
from compiler.language.study import ADAPTER, NAMED


def inside(tree: Tree, path: PathKey, value: Any) -> Tree | None:
    """The places of what is in the mapping `value`, which stands at `path`; None for what is no mapping."""
    return tree.below(path) if isinstance(value, Mapping) else None


@dataclass(frozen=True)
class Override:
    """One setting that an axis or a rule gives to an algorithm of a cell, or with None to every one that takes it.

    `position` is the setting's place, `at` that of what names the algorithm, `source` what it is in words. Where the value is a
    mapping, `inside` has the places of what is in it.
    """

    algorithm: str | None
    setting: str
    value: Any
    position: Position
    at: Position
    source: str
    inside: Tree | None = field(default=None, compare=False)

    @cached_property
    def tree(self) -> Tree:
        """The setting as a mapping of its own."""
        at: dict[PathKey, Position] = {(self.setting,): self.position}
        values, keys = dict(at), dict(at)
        if self.inside:
            values |= {(self.setting, *path): place for path, place in self.inside.values.items() if path}
            keys |= {(self.setting, *path): place for path, place in self.inside.keys.items() if path}
        return Tree(self.position.file, {self.setting: self.value}, values, keys, self.source)


@dataclass(frozen=True)
class Cell:
    """One point of the matrix. Its id names the run, its checkpoint, its results and its W&B run; its labels are its axes as
    text, for files."""

    id: str
    axes: Mapping[str, Any]
    labels: Mapping[str, str]
    overrides: tuple[Override, ...] = ()

    @property
    def method(self) -> str:
        return self.labels["method"]

    @property
    def domain(self) -> str:
        return self.labels["domain"]

    @property
    def start(self) -> str:
        return self.labels["start"]

    @property
    def scale(self) -> str:
        return self.labels["scale"]

    @property
    def adapter(self) -> str | None:
        found = self.axes.get(ADAPTER)
        return None if found is None else str(found)


@dataclass(frozen=True)
class RuleEffect:
    """How many cells a rule touched."""

    name: str
    action: str
    why: str
    touched: int


@dataclass(frozen=True)
class Expansion:
    """The cells of a study in their order, what each rule did, and where each value of an axis is named."""

    cells: tuple[Cell, ...]
    effects: tuple[RuleEffect, ...]
    places: Mapping[tuple[str, str], Position]


def text(value: Any) -> str:
    """A value of an axis, as names show it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def same(one: Any, other: Any) -> bool:
    """Whether two values of an axis are the same: 1 is 1.0, and true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def labels_of(axes: Mapping[str, Any]) -> dict[str, str]:
    """Axes as text."""
    return {axis: text(value) for axis, value in axes.items()}


def default_name(labels: Mapping[str, str], plain: frozenset[str]) -> str:
    """method_domain_start_scale, then the other axes in their order; those that are settings with the axis's name."""
    own = [labels[axis] for axis in NAMED]
    return "_".join([*own, *[label if a in plain else a + label for a, label in labels.items() if a not in NAMED]])
