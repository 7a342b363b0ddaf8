"""Cells that another study's results chose: the words of `from`, and the committed file that holds what they came to.

`lethe select` writes that file beside the spec, once the other study has its report. Compiling only reads it, and nothing that
runs on a cluster ever chooses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from compiler.cells.cell import same, text
from compiler.diagnostics import Diagnostic, SpecError, nearest, spec_error
from compiler.language.source import Tree, read_tree
from compiler.language.study import ADAPTER, NAMED, Name, Origin, Study, Value
from compiler.language.validation import Strict, parse
from compiler.text import yaml_flow

_ASKED = re.compile(r"(?P<end>top|bottom) (?P<count>[1-9][0-9]*) by (?P<metric>\S+)(?: per (?P<per>\S+))?")
_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?|true|false")
GRAMMAR = "'top N by METRIC' or 'bottom N by METRIC', with 'per AXIS' after it for the best of each"
VALUE = "value"  # the key of a chosen cell's metric


@dataclass(frozen=True)
class Asked:
    """What `select` asks for: so many cells from one end of a metric's order, among all or per value of an axis."""

    end: Literal["top", "bottom"]
    count: int
    metric: str
    per: str | None


@dataclass(frozen=True)
class Choice:
    """One chosen cell: its values on the axes that `from` names, as text, and the metric's value, in % or points."""

    axes: Mapping[str, str]
    value: float


class Selection(Strict):
    """What `lethe select` found."""

    study: Name
    """The other study's name."""
    report: str = Field(pattern="^[0-9a-f]{64}$")
    """The fingerprint of its report."""
    origin: Origin = Field(alias="from")
    """What was asked, as the spec said it then."""
    cells: list[dict[Name, Value]] = Field(min_length=1)
    """The chosen cells, in the order of their rank."""


def asked(study: Study, origin: Origin, tree: Tree) -> Asked:
    """Read the words of `from`. Raises SpecError with all that is wrong with them."""
    wrong = list(_wrong_axes(study, origin, tree))
    found = _ASKED.fullmatch(" ".join(origin.select.split()))
    if found is None:
        message = f"'from.select' is '{origin.select}', which asks for nothing"
        wrong.append(Diagnostic(tree.at(("from", "select")), message, f"expected {GRAMMAR}"))
    if found is None or wrong:
        raise SpecError(wrong)
    end: Literal["top", "bottom"] = "top" if found["end"] == "top" else "bottom"
    return Asked(end, int(found["count"]), found["metric"], found["per"])


def selection_file(spec: Path) -> Path:
    """Where the cells chosen for a spec stand: `specs/phase3.yaml` has `specs/phase3.selection.yaml`."""
    return spec.with_name(f"{spec.stem}.selection.yaml")


def written(spec: Path, study: str, report: str, origin: Origin, choices: Sequence[Choice]) -> str:
    """The content of a selection file: the same for the same choice."""
    axes = ", ".join(origin.axes)
    lines = [
        f"# The cells of {study} that {spec.name} goes on with, written by `lethe select` and meant to be committed.",
        "# Compiling reads them here. To choose anew, change 'from' in the spec and run `lethe select` again.",
        f"study: {yaml_flow(study)}",
        f'report: "{report}"',
        f"from: {{study: {yaml_flow(origin.study)}, select: {yaml_flow(origin.select)}, axes: [{axes}]}}",
        "cells:",
        *(f"  - {_cell(choice, origin.axes)}" for choice in choices),
    ]
    return "\n".join(lines) + "\n"


def _cell(choice: Choice, axes: Sequence[str]) -> str:
    values = [f"{axis}: {_bare(axis, choice.axes[axis])}" for axis in axes]
    return "{" + ", ".join([*values, f"{VALUE}: {round(choice.value, 2) + 0.0:.2f}"]) + "}"


def _bare(axis: str, value: str) -> str:
    """A setting's number as a number, a name as text."""
    return value if axis not in (*NAMED, ADAPTER) and _NUMBER.fullmatch(value) else yaml_flow(value)


def chosen(study: Study, tree: Tree, spec: Path) -> tuple[Mapping[str, Any], ...] | None:
    """The points that stand for the axes of `from`, in rank order; None when the study chooses none.

    Where the spec has such an axis, it lists what may be chosen, and its own values are given. Raises SpecError when there is
    no selection yet, when it was made for other words, or when it chose what the spec does not allow.
    """
    if study.origin is None:
        return None
    asked(study, study.origin, tree)
    selection = _read(study.origin, tree, spec)
    wrong = list(_not_allowed(study, selection, tree, spec))
    if wrong:
        raise SpecError(wrong)
    return tuple({axis: _own(study, axis, cell[axis]) for axis in study.origin.axes} for cell in selection.cells)


def _wrong_axes(study: Study, origin: Origin, tree: Tree) -> Iterator[Diagnostic]:
    """Axes to choose on that no study has and this one has not, or that a selection file could not tell from the metric."""
    known = [*NAMED, ADAPTER, *(axis for axis, _ in study.axes.items())]
    for number, axis in enumerate(origin.axes):
        at = tree.at(("from", "axes", number))
        if axis not in known:
            yield Diagnostic(at, f"there is no axis '{axis}' here to choose values of", nearest(axis, known, origin.axes))
        elif axis == VALUE:
            yield Diagnostic(at, f"an axis called '{VALUE}' cannot be chosen on", "rename it")


def _read(origin: Origin, tree: Tree, spec: Path) -> Selection:
    path, run = selection_file(spec), f"run: lethe select {spec}"
    if not path.is_file():
        at = tree.key_at(("from",))
        raise spec_error(at, f"the cells of {origin.study} are not chosen yet: there is no {path}", run)
    found = read_tree(path)
    selection = parse(Selection, found)
    for key in ("study", "select", "axes"):
        then, now = getattr(selection.origin, key), getattr(origin, key)
        if then != now:
            at = tree.at(("from", key))
            raise spec_error(at, f"{path} was made for another '{key}': {yaml_flow(then)}", run)
    for number, cell in enumerate(selection.cells):
        if set(cell) != {*origin.axes, VALUE}:
            keys = ", ".join(f"'{key}'" for key in (*origin.axes, VALUE))
            raise spec_error(found.at(("cells", number)), f"a chosen cell has exactly the keys {keys}", run)
    return selection


def _not_allowed(study: Study, selection: Selection, tree: Tree, spec: Path) -> Iterator[Diagnostic]:
    """Chosen values that the spec's own axis, where it has one, does not list, each once."""
    for axis in selection.origin.axes:
        values = dict.fromkeys(text(cell[axis]) for cell in selection.cells if _own(study, axis, cell[axis]) is None)
        for value in values:
            message = f"axis '{axis}' lacks '{value}', which {selection_file(spec)} chose of {selection.study}"
            yield Diagnostic(tree.at(("axes", axis)), message, "list it here, or choose other cells in 'from'")


def _own(study: Study, axis: str, value: Any) -> Any:
    """The axis's own value that is the same as a chosen one, None when it has none. Without such an axis, the chosen one."""
    allowed = dict(study.axes.items()).get(axis)
    if allowed is None:
        return value
    return next((own for own in allowed if same(own, value) or text(own) == text(value)), None)
