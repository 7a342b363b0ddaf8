"""Reads a spec with the catalog it names, and collects what is wrong with either.

A misspelt word that has a near one is read as that one, so that the rest of the file can be checked in the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compiler.diagnostics import Diagnostic, Position, SpecError
from compiler.language.catalog import Catalog, collect
from compiler.language.references import EACH, Refers, unknown_names
from compiler.language.source import PathKey, Tree, read_tree
from compiler.language.study import ADAPTER, NAMED, Study
from compiler.language.sweeps import unknown_settings
from compiler.language.validation import parse
from compiler.language.vocabulary import wrong_settings

# The names in the cells that a rule adds; what axes there are, only the study knows.
ADDED = [(("rules", EACH, "cells", axis, EACH), Refers(f"{axis}s")) for axis in (*NAMED, ADAPTER)]


@dataclass(frozen=True)
class Spec:
    """A study as it is meant, its tree and its catalog, with the misspelt words: while there are any, nothing is compiled."""

    study: Study
    tree: Tree
    catalog: Catalog
    misspelt: tuple[Diagnostic, ...]


def read_spec(path: Path) -> Spec:
    """The spec at `path` with its catalog. Raises SpecError with every mistake, unless all are words with a near one."""
    tree = read_tree(path)
    wrong = _mistakes(tree)
    tree = repaired(tree, wrong)
    folders = _folders(path, tree)
    if folders is None:
        raise SpecError(wrong)
    try:
        catalog, known, lost = collect(folders, tree)
    except SpecError as error:
        raise SpecError([*wrong, *error.diagnostics]) from error
    lost += wrong_settings(catalog)
    told = {mistake.position for mistake in wrong}
    unknown = [name for name in unknown_names(Study, tree, known, ADDED) if name.position not in told]
    tree, wrong = repaired(tree, unknown), [*wrong, *unknown]
    untaken = [] if lost else list(unknown_settings(tree, catalog))
    tree, wrong = repaired(tree, untaken), [*wrong, *untaken]
    if lost or _mistakes(tree) or any(mistake.suggestion is None for mistake in wrong):
        raise SpecError([*wrong, *lost])
    return Spec(parse(Study, tree), tree, catalog, tuple(wrong))


def _mistakes(tree: Tree) -> list[Diagnostic]:
    try:
        parse(Study, tree)
    except SpecError as error:
        return list(error.diagnostics)
    return []


def _folders(path: Path, tree: Tree) -> list[Path] | None:
    """The catalog's folders, if the spec names them as it should."""
    names = tree.data.get("catalog", Study.model_fields["catalog"].default)
    fine = isinstance(names, list) and names and all(isinstance(name, str) for name in names)
    return [path.parent / name for name in names] if fine else None


def repaired(tree: Tree, wrong: Iterable[Diagnostic]) -> Tree:
    """The tree with every misspelt key and word replaced by the one suggested."""
    for mistake in wrong:
        word = mistake.suggestion
        for path in _paths_at(tree.keys, mistake.position) if word else ():
            tree = _moved(tree, path, (*path[:-1], str(word)))
        for path in _paths_at(tree.values, mistake.position) if word else ():
            tree = replace(tree, data=_replaced(tree.data, path, word))
    return tree


def _paths_at(places: Mapping[PathKey, Position], position: Position) -> list[PathKey]:
    return [path for path, place in places.items() if place == position]


def _moved(tree: Tree, old: PathKey, new: PathKey) -> Tree:
    """The tree with another key, in the same place."""
    data = _at(tree.data, old[:-1], lambda inner: {new[-1] if key == old[-1] else key: value for key, value in inner.items()})
    values, keys = (
        {(*new, *path[len(old) :]) if path[: len(old)] == old else path: at for path, at in places.items()}
        for places in (tree.values, tree.keys)
    )
    return replace(tree, data=data, values=values, keys=keys)


def _replaced(data: Any, path: PathKey, word: str | None) -> Any:
    """The data with a word in the place of another; a mapping, which stands where its first key does, is none."""
    return _at(data, path, lambda old: word if isinstance(old, str) else old)


def _at(data: Any, path: PathKey, change: Callable[[Any], Any]) -> Any:
    """The data with what stands at `path` changed."""
    if not path:
        return change(data)
    copied: Any = data.copy()
    copied[path[0]] = _at(copied[path[0]], path[1:], change)
    return copied
