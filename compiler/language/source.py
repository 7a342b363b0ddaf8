"""Reads YAML as people mean it, and remembers where every value stood.

YAML 1.2 scalars (`1e-5` is a number; `8:00:00`, `no` and `on` are strings), duplicate keys are errors, and a file that is no
spec at all (missing, empty, binary, huge, a bomb of aliases) ends in one message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from compiler.diagnostics import Position, SpecError, spec_error

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: slower, same result
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

MOST_BYTES = 4_000_000
MOST_VALUES = 200_000
MOST_DEPTH = 50

PathKey = tuple[str | int, ...]

_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_QUOTED = ("'", '"', "|", ">")
_NO_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ufffd\U00010000-\U0010ffff]")  # what YAML allows nowhere
_WORDS: Mapping[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tree:
    """Plain data (dicts, lists, scalars) with the position of every value and of every key.

    A tree that was merged remembers its `layers`, the lowest first; any other is its own only layer, called `label`.
    """

    file: str
    data: Any
    values: Mapping[PathKey, Position] = field(default_factory=dict)
    keys: Mapping[PathKey, Position] = field(default_factory=dict)
    label: str = ""
    layers: tuple[Layer, ...] = ()

    def at(self, path: PathKey) -> Position:
        """Where the value at `path` stands, or its nearest ancestor that stands somewhere."""
        for end in range(len(path), -1, -1):
            found = self.values.get(path[:end])
            if found:
                return found
        return Position(self.file)

    def key_at(self, path: PathKey) -> Position:
        """Where the key that leads to `path` stands."""
        return self.keys.get(path) or self.at(path)

    def below(self, path: PathKey) -> Tree:
        """The part of the tree below `path`."""
        data = self.data
        for step in path:
            data = data[step]
        size = len(path)
        cut = {p[size:]: at for p, at in self.values.items() if p[:size] == path}
        keys = {p[size:]: at for p, at in self.keys.items() if p[:size] == path}
        layers = tuple(Layer(layer.label, layer.tree, (*layer.prefix, *path)) for layer in self.layers)
        return Tree(self.file, data, cut, keys, self.label, layers)

    def labelled(self, label: str) -> Tree:
        """The same tree as one layer of that name."""
        return Tree(self.file, self.data, self.values, self.keys, label)

    def sources(self) -> tuple[Layer, ...]:
        """What the tree was merged from, the lowest first."""
        return self.layers or (Layer(self.label, self),)

    def chain(self, path: PathKey) -> list[tuple[str, Position, Any]]:
        """Every layer that says something at `path`, with its place and value, the lowest first: the last one won.

        A layer that replaces what holds `path` by something else hides those below it.
        """
        found: list[tuple[str, Position, Any]] = []
        for layer in self.sources():
            full = (*layer.prefix, *path)
            value, missing = _walk(layer.tree.data, full)
            if not missing:
                found.append((layer.label, layer.tree.at(full), value))
            elif not isinstance(value, dict):
                found.clear()
        return found


@dataclass(frozen=True, slots=True)
class Layer:
    """One tree under or on top of others. `prefix` is where in it the merged tree's root is."""

    label: str
    tree: Tree
    prefix: PathKey = ()


def _walk(data: Any, path: PathKey) -> tuple[Any, int]:
    """What is reached along `path`, and how many of its steps are not there."""
    for number, step in enumerate(path):
        inside = step in data if isinstance(data, dict) else isinstance(step, int) and _has_item(data, step)
        if not inside:
            return data, len(path) - number
        data = data[step]
    return data, 0


def _has_item(data: Any, step: int) -> bool:
    return isinstance(data, list) and step < len(data)


def merged(under: Tree, over: Tree) -> Tree:
    """`over` on top of `under`: mappings merge key by key, anything else replaces; positions follow the values.

    A mapping of both stands where `under` has it: what it lacks is missing there.
    """
    values = dict(under.values)
    data = _merge(under.data, over.data, (), values)
    layers = (*under.sources(), *over.sources())
    return Tree(over.file, data, {**over.values, **values}, {**under.keys, **over.keys}, over.label, layers)


def _merge(under: Any, over: Any, path: PathKey, values: dict[PathKey, Position]) -> Any:
    if not (isinstance(under, dict) and isinstance(over, dict)):
        for stale in [p for p in values if p[: len(path)] == path]:
            del values[stale]
        return over
    result = dict(under)
    for key, value in over.items():
        result[key] = _merge(under[key], value, (*path, key), values) if key in under else value
    return result


def read_tree(path: Path) -> Tree:
    """Read one YAML file whose top level is a mapping.

    Raises SpecError when there is no such file, or it is not such a file.
    """
    file = str(path)
    text = _read_text(path, file)
    try:
        _check_events(file, text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _yaml_error(file, error) from error
    if node is None:
        raise spec_error(Position(file), "the file is empty", "start from specs/micro.yaml")
    reader = _Reader(file)
    data = reader.value(node, ())
    if not isinstance(data, dict):
        raise spec_error(_position(file, node), f"expected a mapping at the top, got {_kind(data)}")
    return Tree(file, data, reader.values, reader.keys)


def _read_text(path: Path, file: str) -> str:
    try:
        with path.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise spec_error(Position(file), f"the file is too large: a spec has at most {MOST_BYTES:,} bytes")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise spec_error(Position(file), "the file is not UTF-8 text", "is it a binary file?") from error
    except OSError as error:
        raise spec_error(Position(file), f"cannot read the file: {error.strerror}") from error
    bad = _NO_TEXT.search(text)
    if bad:
        line = text.count("\n", 0, bad.start()) + 1
        raise spec_error(Position(file), f"line {line} holds a control character", "is it a binary file?")
    return text


def _check_events(file: str, text: str) -> None:
    """Refuse, before anything recurses, what is nested beyond any spec, and tags, which mean nothing here."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise spec_error(_position(file, event), f"the tag {tag} has no meaning here")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise _too_deep(_position(file, event))


def _too_deep(position: Position) -> SpecError:
    return spec_error(position, f"nested more than {MOST_DEPTH} deep, which no spec is")


def _yaml_error(file: str, error: yaml.YAMLError) -> SpecError:
    mark = getattr(error, "problem_mark", None)
    position = Position(file, mark.line + 1, mark.column + 1) if mark else Position(file)
    problem = getattr(error, "problem", None) or str(error)
    context = getattr(error, "context", None)
    return spec_error(position, f"not valid YAML: {problem}" + (f" ({context})" if context else ""))


@dataclass
class _Reader:
    """Walks YAML nodes; counts values, so that a bomb of aliases ends early."""

    file: str
    values: dict[PathKey, Position] = field(default_factory=dict)
    keys: dict[PathKey, Position] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    def value(self, node: yaml.Node, path: PathKey) -> Any:
        here = _position(self.file, node)
        if len(self.values) >= MOST_VALUES:
            raise spec_error(here, f"more than {MOST_VALUES:,} values (aliases counted as often as they are used)")
        if len(path) > MOST_DEPTH:
            raise _too_deep(here)
        if id(node) in self.open:
            raise spec_error(here, "an alias contains itself")
        self.values[path] = here
        if isinstance(node, yaml.ScalarNode):
            return _scalar(self.file, node)
        self.open.add(id(node))
        found: Any
        if isinstance(node, yaml.SequenceNode):
            found = [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        else:
            found = self.mapping(node, path)
        self.open.remove(id(node))
        return found

    def mapping(self, node: yaml.Node, path: PathKey) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            here = _position(self.file, key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise spec_error(here, "a key must be a plain word")
            key = str(key_node.value)
            if key in found:
                first = self.keys[(*path, key)]
                raise spec_error(here, f"the key '{key}' is here twice", f"it stands on line {first.line} already")
            self.keys[(*path, key)] = here
            found[key] = self.value(value_node, (*path, key))
        return found


def _scalar(file: str, node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style in _QUOTED:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.match(text):
        return _integer(file, node)
    return float(text) if _FLOAT.match(text) else text


def _integer(file: str, node: yaml.ScalarNode) -> int:
    if len(node.value) > 30:
        raise spec_error(_position(file, node), "this integer is too long to be meant")
    return int(node.value)


def _position(file: str, node: yaml.Node | yaml.Event) -> Position:
    mark, last = node.start_mark, node.end_mark
    if mark is None or last is None:
        return Position(file)
    return Position(file, mark.line + 1, mark.column + 1, last.column + 1 if last.line == mark.line else 0)


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else "a single value"


def leaves(data: Any, path: PathKey = ()) -> Iterator[tuple[PathKey, Any]]:
    """The values of nested mappings, with the way to each; lists and what is empty count as one value."""
    if isinstance(data, Mapping) and data:
        for key, item in data.items():
            yield from leaves(item, (*path, key))
    elif path:
        yield path, data
