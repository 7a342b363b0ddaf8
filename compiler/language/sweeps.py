"""Axes that are settings: whether there is an algorithm that takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from compiler import backends
from compiler.diagnostics import Diagnostic, closest, nearest
from compiler.language.catalog import Catalog
from compiler.language.definitions import Algorithm, Method
from compiler.language.source import PathKey, Tree
from compiler.language.study import ADAPTER, NAMED


def unknown_settings(tree: Tree, catalog: Catalog) -> Iterator[Diagnostic]:
    """Every axis, and every setting in a bundle of one, that no algorithm of the catalog takes."""
    taken, own = _taken(catalog), _own_algorithms(tree, catalog)
    everything = frozenset[str]().union(*taken.values())
    for path, word in _settings(tree.data.get("axes")):
        algorithm, dot, setting = word.rpartition(".")
        if not dot and setting not in everything:
            others = () if len(path) > 2 else (*NAMED, ADAPTER)
            nearby = [*(name for algorithm in own for name in taken.get(algorithm, ())), *others]
            hint = nearest(word, nearby if closest(word, nearby) else everything)
            yield Diagnostic(tree.key_at(path), f"axis '{word}': no algorithm takes a setting '{setting}'", hint)
        elif dot and algorithm not in taken:
            hint = nearest(word, [f"{name}.{setting}" for name in taken])
            yield Diagnostic(tree.key_at(path), f"axis '{word}': there is no algorithm '{algorithm}'", hint)
        elif dot and setting not in taken[algorithm]:
            hint = nearest(word, [f"{algorithm}.{name}" for name in taken[algorithm]])
            yield Diagnostic(tree.key_at(path), f"axis '{word}': algorithm '{algorithm}' takes no setting '{setting}'", hint)


def _own_algorithms(tree: Tree, catalog: Catalog) -> list[str]:
    """The algorithms of the study's own methods."""
    axes = tree.data.get("axes")
    named = axes.get("method") if isinstance(axes, dict) else None
    methods = [
        catalog.models.get(("methods", name)) for name in (named if isinstance(named, list) else ()) if isinstance(name, str)
    ]
    return [stage.algorithm for method in methods if isinstance(method, Method) for stage in (*method.stages, *method.finish)]


def _settings(axes: Any) -> Iterator[tuple[PathKey, str]]:
    """Every setting that axes name, with its place: an axis, or what stands in its bundles."""
    for axis, values in axes.items() if isinstance(axes, dict) else ():
        if axis in (*NAMED, ADAPTER):
            continue
        if isinstance(values, dict):
            yield from ((("axes", axis, bundle, name), name) for bundle, inner in values.items() for name in _keys(inner))
        else:
            yield ("axes", axis), axis


def _keys(inner: Any) -> Iterable[str]:
    return list(inner) if isinstance(inner, Mapping) else ()


def _taken(catalog: Catalog) -> dict[str, frozenset[str]]:
    """What each algorithm of the catalog takes."""
    found = {}
    for (section, name), model in catalog.models.items():
        if section == "algorithms" and isinstance(model, Algorithm):
            what = model.trainer or name
            if backends.exists(model.backend, what):
                found[name] = backends.part(model.backend, what, catalog.at(section, name)).takes("settings")
    return found
