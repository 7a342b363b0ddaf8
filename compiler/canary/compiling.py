"""From a spec to its canary: which cells, and the small study that they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from compiler.canary.cover import cover
from compiler.canary.coverage import Mark, coverage
from compiler.canary.shrink import shrunk, small
from compiler.cells.expand import expand
from compiler.language.reading import read_spec
from compiler.pipeline import Compiled, compile_study, compiled_with


@dataclass(frozen=True)
class Canary:
    """The chosen cells of a study, each with all that it goes through and with what no other chosen one does."""

    study: str
    cells: int
    chosen: Mapping[str, frozenset[Mark]]
    alone: Mapping[str, frozenset[Mark]]


def choose(whole: Compiled) -> Canary:
    """The few cells that go through everything that the study goes through."""
    through = coverage(whole)
    alone = cover(through)
    return Canary(whole.plan.study, len(whole.plan.cells), {cell: through[cell] for cell in alone}, alone)


def compile_canary(spec: Path) -> tuple[Canary, Compiled]:
    """The canary of a spec, compiled as a study of its own. Raises SpecError."""
    whole = compile_study(spec)
    canary = choose(whole)
    read = read_spec(spec)
    expansion = expand(read.study, read.tree, spec)
    few = replace(expansion, cells=tuple(cell for cell in expansion.cells if cell.id in canary.chosen))
    return canary, compiled_with(spec, small(read), few, whole.locked, (shrunk(whole.plan.jobs),))
