"""Which layer set each setting of a job, by name alone: a moved line or a comment changes nothing of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.language.source import Layer, PathKey, Tree, leaves

COMPILER = "the compiler"


def provenance(settings: Tree, given: Mapping[str, str]) -> dict[str, str]:
    """The label of the layer that holds, by setting: `algorithm sft`, `domain math`, `axis lr`, `rule 'gentler'`.

    A mapping stands as one setting where one layer set all of it, else with each of its values (`adapter.rank`). `given` says
    who gives what no layer sets.
    """
    owners = _owners(settings)
    found: dict[str, str] = {}
    for name, value in settings.data.items():
        handed = name in given and (name,) not in settings.keys  # as a schema asked for it; no layer has it
        paths = [path for path, _ in leaves(value, (name,))]
        labels = {path: given[name] if handed else owners.get(path, COMPILER) for path in paths}
        if len(set(labels.values())) == 1:
            found[str(name)] = labels[paths[0]]
        else:
            found.update({".".join(map(str, path)): label for path, label in labels.items()})
    return found


def _owners(tree: Tree) -> dict[PathKey, str]:
    """The last layer that says something, for every path that any layer ends at."""
    found: dict[PathKey, str] = {}
    for layer in tree.sources():
        found.update({path: layer.label or COMPILER for path, _ in leaves(_said(layer))})
    return found


def _said(layer: Layer) -> Any:
    """What a layer says below its prefix; nothing where it does not reach so far."""
    data = layer.tree.data
    for step in layer.prefix:
        inside = isinstance(data, dict) and step in data
        if not inside and not (isinstance(data, list) and isinstance(step, int) and step < len(data)):
            return {}
        data = data[step]
    return data
