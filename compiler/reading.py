"""Reads a spec with the catalog it names, and collects what is wrong with either.

A misspelt word that has a near one is read as that one, so that the rest of the file can be checked in the same run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.catalog import Catalog, collect
from compiler.diagnostics import Diagnostic, Position, SpecError
from compiler.references import unknown_names
from compiler.source import PathKey, Tree, read_tree
from compiler.study import Study
from compiler.validation import parse


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
    catalog, known, lost = collect(folders, tree)
    unknown = list(unknown_names(Study, tree, known))
    tree, wrong = repaired(tree, unknown), [*wrong, *unknown]
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
    """The tree with every misspelt word replaced by the one suggested."""
    for mistake in wrong:
        if mistake.suggestion is not None:
            for path in _paths_at(tree.keys, mistake.position):
                tree = _renamed(tree, path, mistake.suggestion)
            for path in _paths_at(tree.values, mistake.position):
                data = _replaced(tree.data, path, mistake.suggestion)
                tree = Tree(tree.file, data, tree.values, tree.keys, tree.label)
    return tree
