"""Axes that are settings: whether there is an algorithm that takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from compiler import backends
from compiler.catalog import Catalog
from compiler.definitions import Algorithm
from compiler.diagnostics import Diagnostic, nearest
from compiler.source import PathKey, Tree
from compiler.study import ADAPTER, NAMED


def unknown_settings(tree: Tree, catalog: Catalog) -> Iterator[Diagnostic]:
    """Every axis, and every setting in a bundle of one, that no algorithm of the catalog takes."""
    taken = _taken(catalog)
    for path, setting in _settings(tree.data.get("axes")):
        algorithm, dot, own = setting.rpartition(".")
        if dot and algorithm not in taken:
            hint = nearest(setting, [f"{name}.{own}" for name in taken])
            yield Diagnostic(tree.key_at(path), f"axis '{setting}': there is no algorithm '{algorithm}'", hint)
        known = taken.get(algorithm, frozenset[str]()) if dot else frozenset[str]().union(*taken.values())
        if own not in known and not (dot and algorithm not in taken):
            whose = f"algorithm '{algorithm}'" if dot else "no algorithm"
            words = (
                [f"{algorithm}.{name}" for name in known] if dot else [*known, *(() if len(path) > 2 else (*NAMED, ADAPTER))]
            )
            says = f"{whose} does not take" if dot else f"{whose} takes"
            yield Diagnostic(tree.key_at(path), f"axis '{setting}': {says} a setting '{own}'", nearest(setting, words))


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
