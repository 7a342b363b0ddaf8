"""From a study to its cells: the product of the axes, edited by the rules in their order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from compiler.diagnostics import Position, nearest, spec_error
from compiler.source import Tree
from compiler.study import AXES, Rule, Study, Where


@dataclass(frozen=True)
class Override:
    """One setting that a rule gives to one algorithm of a cell. `at` is where the rule names the algorithm."""

    algorithm: str
    setting: str
    value: Any
    position: Position
    at: Position


@dataclass(frozen=True)
class Cell:
    """One point of the matrix. Its id names the run, its checkpoint, its results and its W&B run."""

    method: str
    domain: str
    start: str
    scale: str
    overrides: tuple[Override, ...] = ()

    @property
    def id(self) -> str:
        return "_".join(getattr(self, axis) for axis in AXES)

    @property
    def axes(self) -> dict[str, str]:
        return {axis: getattr(self, axis) for axis in AXES}


@dataclass(frozen=True)
class RuleEffect:
    """How many cells a rule touched."""

    name: str
    action: str
    why: str
    touched: int


@dataclass(frozen=True)
class Expansion:
    """The cells of a study, in the order of its axes, and what each rule did."""

    cells: tuple[Cell, ...]
    effects: tuple[RuleEffect, ...]


def expand(study: Study, tree: Tree) -> Expansion:
    """Every cell of `study`. Raises SpecError when a rule touches nothing, or when nothing or an ambiguity is left."""
    axes = study.axes
    cells = [Cell(*point) for point in product(axes.method, axes.domain, axes.start, axes.scale)]
    effects = []
    for number, rule in enumerate(study.rules):
        _check_where(study, rule, tree, number)
        before = len(cells)
        cells, effect = _apply(rule, cells, tree, number)
        effects.append(effect)
        if not effect.touched:
            message = f"rule '{effect.name}' touches none of the {before} cells"
            raise spec_error(tree.at(("rules", number)), message, "see 'where'; rules before it may have dropped them")
    if not cells:
        raise spec_error(tree.at(("rules",)), "the rules leave no cell")
    _check_names(cells, tree)
    return Expansion(tuple(cells), tuple(effects))


def _apply(rule: Rule, cells: Sequence[Cell], tree: Tree, number: int) -> tuple[list[Cell], RuleEffect]:
    meant = [_matches(cell, rule.where) for cell in cells]
    touched = sum(meant)
    if rule.drop is not None:
        left = [cell for cell, hit in zip(cells, meant, strict=True) if not hit]
        return left, RuleEffect(rule.drop, "drop", rule.why, touched)
    if rule.keep is not None:
        left = [cell for cell, hit in zip(cells, meant, strict=True) if hit]
        return left, RuleEffect(rule.keep, "keep", rule.why, len(cells) - touched)
    overrides = tuple(_overrides(rule, tree, number))
    changed = [
        replace(cell, overrides=cell.overrides + overrides) if hit else cell for cell, hit in zip(cells, meant, strict=True)
    ]
    return changed, RuleEffect(str(rule.set), "set", rule.why, touched)


def _check_where(study: Study, rule: Rule, tree: Tree, number: int) -> None:
    """A value that its axis has not would be silently ignored."""
    for axis in AXES:
        wanted, valid = getattr(rule.where, axis) or [], getattr(study.axes, axis)
        for place, value in enumerate([wanted] if isinstance(wanted, str) else wanted):
            if value not in valid:
                at = tree.at(("rules", number, "where", axis, place))
                raise spec_error(at, f"axis '{axis}' has no '{value}'", nearest(value, valid))


def _matches(cell: Cell, where: Where) -> bool:
    for axis in AXES:
        wanted = getattr(where, axis)
        if wanted is not None and getattr(cell, axis) not in ([wanted] if isinstance(wanted, str) else wanted):
            return False
    return True


def _overrides(rule: Rule, tree: Tree, number: int) -> Iterable[Override]:
    for algorithm, settings in (rule.to or {}).items():
        path = ("rules", number, "to", algorithm)
        for setting, value in settings.items():
            yield Override(algorithm, setting, value, tree.key_at((*path, setting)), tree.key_at(path))


def _check_names(cells: Sequence[Cell], tree: Tree) -> None:
    """Two cells must never share a name: `a_b` x `c` and `a` x `b_c` would."""
    seen: dict[str, Cell] = {}
    for cell in cells:
        twin = seen.setdefault(cell.id, cell)
        if twin is not cell:
            message = f"two cells have the name '{cell.id}': {twin.axes} and {cell.axes}"
            raise spec_error(tree.at(("axes",)), message, "rename a value of an axis")
