"""Settings that differ in some numbers alone, as those of a sweep's cells do: what becomes of them is made once, with holes.

A hole is where a config says such a number as it is. Whether a template does, and does nothing else with it, is told by the
template itself (`Part.prints`), and what comes of filling the holes is held against what the first of such settings came to.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from compiler.backends import Part
from compiler.diagnostics import Position
from compiler.language.source import Layer, PathKey, Tree
from compiler.plan.fingerprint import decisive
from compiler.text import canonical_json

HOLE = "LETHE_HOLE_"  # begins a word that stands for a number; the number's setting follows

Where = Mapping[str, Any]  # the keys that lead to holes, with the settings that these are for


def numbers(part: Part, settings: Tree) -> tuple[str, ...]:
    """The settings that may differ between others alike: numbers that a layer of their own sets and the config just says."""
    own = [name for layer in settings.sources() if (name := _alone(layer)) is not None and part.prints(name)]
    return tuple(name for name in dict.fromkeys(own) if type(settings.data[name]) in (int, float) and name.isidentifier())


def key_of(settings: Tree, names: tuple[str, ...]) -> Hashable:
    """What is the same for settings that differ in the numbers of these `names` alone, and were put together in one way."""
    return (names, tuple(type(settings.data[name]) for name in names), *(_key(layer, names) for layer in settings.sources()))


def _alone(layer: Layer) -> str | None:
    """The one setting that a layer sets."""
    data = layer.tree.data
    return next(iter(data)) if not layer.prefix and isinstance(data, dict) and len(data) == 1 else None


def _key(layer: Layer, names: tuple[str, ...]) -> Hashable:
    alone = _alone(layer)
    if alone in names and type(layer.tree.data[alone]) in (int, float):
        return (layer.label, alone)
    return (layer.label, layer.prefix, id(layer.tree.data), id(layer.tree.values))


def with_places_of(settings: Tree, first: Tree, names: Iterable[str]) -> Tree:
    """The same settings, of which the places of all but the numbers of these `names` are those of the first that are alike, and
    are there once."""
    paths: list[PathKey] = [(name,) for name in names]
    values = {path: settings.values[path] for path in paths if path in settings.values}
    keys = {path: settings.keys[path] for path in paths if path in settings.keys}
    places, at = _Laid(values, first.values), _Laid(keys, first.keys)
    return Tree(settings.file, settings.data, places, at, settings.label, settings.layers)


class _Laid(Mapping[PathKey, Position]):
    """A few places on top of others, which have the same paths."""

    __slots__ = ("_over", "_under")

    def __init__(self, over: Mapping[PathKey, Position], under: Mapping[PathKey, Position]) -> None:
        self._over, self._under = over, under

    def __getitem__(self, path: PathKey) -> Position:
        return self._over[path] if path in self._over else self._under[path]

    def __iter__(self) -> Iterator[PathKey]:
        return iter(self._under)

    def __len__(self) -> int:
        return len(self._under)


def with_holes(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Settings with words for the numbers of these `names`."""
    return {**values, **{name: HOLE + name for name in names}}


@dataclass(frozen=True)
class Mould:
    """A config with holes, as `Examined` has it: the config, where its holes are, and the text of its decisive part."""

    config: Mapping[str, Any]
    where: Where
    decisive: str

    def config_of(self, values: Mapping[str, Any]) -> Any:
        """The config of settings with these values."""
        return _put(self.config, self.where, values)

    def decisive_of(self, values: Mapping[str, Any]) -> str:
        """`decisive` of that config."""
        return self.decisive % values


def mould(part: Part, settings: Mapping[str, Any], execution: Mapping[str, Any], names: tuple[str, ...]) -> Mould | None:
    """What the configs of settings have in common that differ in these `names`; None where it is more than holes in which they
    differ."""
    config = part.decisive_config(with_holes(settings, names), execution)
    where = _where(config, names)
    text = decisive(config).replace("%", "%%")
    for name in names:
        text = text.replace(canonical_json(HOLE + name), f"%({name})s")
    made = Mould(config, where, text)
    whole, values = part.decisive_config(settings, execution), {name: settings[name] for name in names}
    right = HOLE not in text and repr(made.config_of(values)) == repr(whole)
    return made if right and text % shown(values) == decisive(whole) else None


def shown(values: Mapping[str, Any]) -> dict[str, str]:
    """Numbers as a fingerprint sees them."""
    return {name: decisive(value) for name, value in values.items()}


@dataclass(frozen=True, eq=False)
class Family:
    """Settings that are alike in all but the numbers of some `names`: what their configs have in common, which layer set each
    of them, and the trees of the first of them, by whose objects the others are known to be alike."""

    names: frozenset[str]
    mould: Mould
    provenance: Mapping[str, str]
    first: tuple[Tree, ...]

    def numbers_of(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The numbers in which settings differ from the others'."""
        return {name: settings[name] for name in self.names}


def _where(config: Any, names: tuple[str, ...]) -> dict[str, Any]:
    holes = {HOLE + name: name for name in names}
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, str) and value in holes:
            found[key] = holes[value]
        elif isinstance(value, dict) and (inner := _where(value, names)):
            found[key] = inner
    return found


def _put(data: Any, where: Where, values: Mapping[str, Any]) -> Any:
    """`data` with its holes filled; what has none is the very same."""
    filled = {key: values[to] if isinstance(to, str) else _put(data[key], to, values) for key, to in where.items()}
    return {**data, **filled}
