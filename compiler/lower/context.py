"""What every step of lowering looks things up in."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from compiler.cells.cell import Cell, text
from compiler.diagnostics import Diagnostic, Position, nearest, spec_error
from compiler.fitness.models import Model, of_scale
from compiler.language.catalog import Catalog
from compiler.language.definitions import Domain, Scale, Start, Suite
from compiler.language.source import PathKey, Tree
from compiler.language.study import Study
from compiler.lower.recipes import Step
from compiler.lower.workshop import EMPTY, Workshop

Made = TypeVar("Made")

READABLE = "checkpoint.hf"  # the checkpoint type that every consumer reads
RECORDED = "checkpoint.recorded"  # the same, with a record of its training beside it


@dataclass(frozen=True)
class Column:
    """One suite as it measures one cell. A suite of the cell's own domain is a column for each domain it measures."""

    name: str
    suite: str
    found: Suite
    own: str | None
    asked: Position


@dataclass(frozen=True)
class Context:
    """The study, its catalog, where its axes' values are named, and the workshop that makes its jobs."""

    study: Study
    tree: Tree
    catalog: Catalog
    places: Mapping[tuple[str, str], Position]
    workshop: Workshop
    warnings: set[str] = field(default_factory=set)
    columns: dict[str, Column] = field(default_factory=dict)
    recipes: dict[tuple[str, str], tuple[Step, ...]] = field(default_factory=dict)
    settings: dict[tuple[str | int | None, ...], Tree] = field(default_factory=dict)
    kept: list[Cell] = field(default_factory=list)
    _parts: dict[tuple[str, str, PathKey], Tree] = field(default_factory=dict)
    _made: dict[tuple[Hashable, ...], Any] = field(default_factory=dict)

    def once(self, key: tuple[Hashable, ...], make: Callable[[], Made]) -> Made:
        """What `make` makes, made once for all who ask with an equal key: what a key says must decide it, but for messages.

        An object may stand in a key by its id if it lives as long as the context. While something is wrong nothing is kept.
        """
        if key in self._made:
            found: Made = self._made[key]
            return found
        made = make()
        if not self.workshop.wrong:
            self._made[key] = made
        return made

    def forget(self) -> None:
        """Let go of all that was kept to make a cell's jobs quickly, once those of all cells are made."""
        self.workshop.forget()
        self._made.clear()
        self.settings.clear()
        self.kept.clear()

    def wrong(self, at: Position, message: str, hint: str = "") -> None:
        """Keep a mistake, to be told with the others."""
        self.workshop.wrong.append(Diagnostic(at, message, hint))

    def axis_value(self, axis: str, value: str) -> Position:
        """Where the study names a value of an axis."""
        return self.places.get((axis, value)) or self.tree.at(("axes", axis))

    def domain(self, name: str, asked: Position | None = None) -> Domain:
        return self.catalog.get(Domain, name, asked or self.axis_value("domain", name))

    def start(self, name: str, scale: str, asked: Position | None = None) -> Start:
        found = self.catalog.get(Scale, scale, self.axis_value("scale", scale))
        if name not in found.starts:
            at = asked or self.axis_value("start", name)
            raise spec_error(at, f"scale '{scale}' has no start '{name}'", nearest(name, found.starts))
        return found.starts[name]

    def prompt(self, cell: Cell) -> Mapping[str, Any]:
        """How a cell's model is asked."""
        return self.start(cell.start, cell.scale).prompt

    def below(self, section: str, name: str, path: PathKey) -> Tree:
        """A part of a definition, empty when it is left out; for all who ask the very same."""
        found = self._parts.get((section, name, path))
        if found is None:
            tree = self.catalog.trees[section, name]
            there = tree.below(path) if path in tree.values else EMPTY
            found = self._parts[section, name, path] = EMPTY if there.data is None else there
        return found

    def model(self, name: str, scale: str) -> Model:
        """A start's model in numbers."""
        found = self.catalog.get(Scale, scale, self.axis_value("scale", scale))
        return of_scale(scale, found, found.starts[name].prompt)

    def warn_unless_known(self, known: str, name: str, what: str) -> None:
        """Warn of what this version's runtime cannot do."""
        if name not in self.workshop.manifest[known]:
            self.warnings.add(f"this version's runtime has no {what} '{name}' yet: jobs that need it stop with a message")


def axis_text(cell: Cell) -> str:
    """A cell's axes in words, for messages: what led there."""
    return ", ".join(f"{axis}={text(value)}" for axis, value in cell.axes.items())
