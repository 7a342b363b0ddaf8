"""From a study to its cells: the product of the axes, edited by the rules in their order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from compiler.cells.cell import Cell, Expansion, Override, default_name, inside, labels_of, text
from compiler.cells.origin import chosen
from compiler.cells.rules import Draft, apply_rules
from compiler.diagnostics import Diagnostic, Position, SpecError, nearest, spec_error
from compiler.language.source import PathKey, Tree
from compiler.language.study import ADAPTER, NAMED, PLAIN_NAME, Study

Point = Mapping[str, Any]


def expand(study: Study, tree: Tree, spec: Path) -> Expansion:
    """Every cell of `study`. Raises SpecError with what is wrong with its axes, its zips and its rules."""
    order = _order(study, tree)
    wrong = [*_wrong_zips(study, tree), *_wrong_name(study, tree, order)]
    if wrong:
        raise SpecError(wrong)
    points = [_merged_points(parts, order) for parts in product(*_units(study, tree, order, spec))]
    edited = apply_rules(study, tree, [Draft(point) for point in points])
    if not edited.drafts:
        raise spec_error(tree.at(("rules",)), "the rules leave no cell")
    overrides = _Overrides(study, tree)
    cells = [_cell(study, overrides, draft) for draft in edited.drafts]
    _check_names(cells, tree)
    return Expansion(tuple(cells), edited.effects, {**edited.places, **_places(study, tree)})


def _order(study: Study, tree: Tree) -> list[str]:
    """The axes as the spec has them, after those that only `from` has."""
    own = [axis for axis in tree.data["axes"] if dict(study.axes.items()).get(axis)]
    return [*(axis for axis in (study.origin.axes if study.origin else ()) if axis not in own), *own]


def _units(study: Study, tree: Tree, order: Sequence[str], spec: Path) -> Iterable[list[Point]]:
    """What the product is taken of: an axis, axes that are zipped, or the cells that another study chose."""
    selected = chosen(study, tree, spec)
    groups = [list(group) for group in study.zip]
    if study.origin and selected is not None:
        groups.append(list(study.origin.axes))
    done: set[str] = set()
    for axis in order:
        if axis in done:
            continue
        group = next((group for group in groups if axis in group), [axis])
        done.update(group)
        if study.origin and selected is not None and axis in study.origin.axes:
            yield [dict(point) for point in selected]
        else:
            rows = zip(*(study.axes.values(name) for name in group), strict=True)
            yield [dict(zip(group, row, strict=True)) for row in rows]


def _merged_points(parts: Iterable[Point], order: Sequence[str]) -> Point:
    whole = {axis: value for part in parts for axis, value in part.items()}
    return {axis: whole[axis] for axis in order}


def _wrong_zips(study: Study, tree: Tree) -> Iterable[Diagnostic]:
    """Axes that cannot go together: unknown, in two groups, chosen elsewhere, or of different lengths."""
    axes, seen = dict(study.axes.items()), dict[str, int]()
    for number, group in enumerate(study.zip):
        fine = True
        for place, axis in enumerate(group):
            at = tree.at(("zip", number, place))
            if axis not in axes:
                yield Diagnostic(at, f"there is no axis '{axis}' to zip", nearest(axis, axes))
            elif axis in seen or (study.origin and axis in study.origin.axes):
                yield Diagnostic(at, f"axis '{axis}' cannot be zipped twice, nor with what 'from' chooses", "name it once")
            seen[axis] = number
            fine = fine and axis in axes
        sizes = {axis: len(axes[axis]) for axis in group if axis in axes}
        if fine and len(set(sizes.values())) > 1:
            told = ", ".join(f"'{axis}' has {size}" for axis, size in sizes.items())
            yield Diagnostic(tree.at(("zip", number)), f"zipped axes need as many values each: {told}", "add or remove values")


def _wrong_name(study: Study, tree: Tree, order: Sequence[str]) -> Iterable[Diagnostic]:
    """A pattern that names what is no axis."""
    for axis in re.findall(r"\{([^{}]*)\}", study.name or ""):
        if axis not in order:
            yield Diagnostic(tree.at(("name",)), f"'name' has '{{{axis}}}', and there is no such axis", nearest(axis, order))


def _places(study: Study, tree: Tree) -> dict[tuple[str, str], Position]:
    """Where the study names each value of its axes."""
    found = {}
    for axis, values in study.axes.items():
        for number, value in enumerate(values):
            path: PathKey = ("axes", axis, number if isinstance(values, list) else str(value))
            found[axis, text(value)] = tree.at(path) if isinstance(values, list) else tree.key_at(path)
    return found


def _cell(study: Study, overrides: _Overrides, draft: Draft) -> Cell:
    labels = labels_of(draft.axes)
    if study.name is None:
        name = default_name(labels, overrides.plain)
    else:
        name = re.sub(r"\{([^{}]*)\}", lambda found: labels[found[1]], study.name)
    own = (override for axis, value in draft.axes.items() for override in overrides.of(axis, value))
    return Cell(name, draft.axes, labels, (*own, *draft.overrides))


class _Overrides:
    """What the values of axes set; for all cells with a value the very same. `plain` are axes whose values are names."""

    def __init__(self, study: Study, tree: Tree) -> None:
        self.axes, self.tree = dict(study.axes.items()), tree
        self.plain = frozenset({ADAPTER, *(axis for axis, values in self.axes.items() if not isinstance(values, list))})
        self.places = {
            (axis, isinstance(value, bool), value): number
            for axis, values in self.axes.items() if isinstance(values, list)
            for number, value in reversed(list(enumerate(values)))
        }  # fmt: skip
        self.known: dict[tuple[str, type, Any], tuple[Override, ...]] = {}

    def of(self, axis: str, value: Any) -> tuple[Override, ...]:
        """A setting by its own name, or the settings of a bundle."""
        key = (axis, type(value), value)  # 1 and 1.0 are one value, and written as each is
        if key not in self.known:
            self.known[key] = tuple(self._made(axis, value)) if axis not in (*NAMED, ADAPTER) else ()
        return self.known[key]

    def _made(self, axis: str, value: Any) -> Iterable[Override]:
        key_at, values = self.tree.key_at(("axes", axis)), self.axes[axis]
        if isinstance(values, list):
            place = self.places.get((axis, isinstance(value, bool), value))
            at = self.tree.at(("axes", axis) if place is None else ("axes", axis, place))
            own = None if place is None else inside(self.tree, ("axes", axis, place), value)
            yield _override(axis, value, at, key_at, f"axis {axis}", own)
        else:
            for setting, inner in values[value].items():
                path: PathKey = ("axes", axis, value, setting)
                at, key_at, places = self.tree.at(path), self.tree.key_at(path), inside(self.tree, path, inner)
                yield _override(setting, inner, at, key_at, f"axis {axis}, {value}", places)


def _override(setting: str, value: Any, position: Position, at: Position, source: str, places: Tree | None) -> Override:
    algorithm, dot, own = setting.partition(".")
    return Override(algorithm if dot else None, own if dot else setting, value, position, at, source, places)


def _check_names(cells: Sequence[Cell], tree: Tree) -> None:
    """Two cells must never share a name: `a_b` x `c` and `a` x `b_c` would."""
    seen: dict[str, Cell] = {}
    at = tree.at(("name",) if "name" in tree.data else ("axes",))
    plain = re.compile(PLAIN_NAME.strip("^$"))
    for cell in cells:
        if not plain.fullmatch(cell.id):
            raise spec_error(at, f"a cell would be called {cell.id!r}", "letters, digits, '_', '-' and '.' make a plain name")
        twin = seen.setdefault(cell.id, cell)
        if twin is not cell:
            message = f"two cells have the name '{cell.id}': {twin.labels} and {cell.labels}"
            raise spec_error(at, message, "rename a value of an axis, or put every axis into 'name'")
