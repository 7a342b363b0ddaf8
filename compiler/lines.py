"""Which values decide a line of a generated file.

Found out by trying: the file is rendered again with one value changed at a time, and a value that changes the line decides it.
So this holds for every template there is, and says nothing that is not so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import yaml
from jinja2 import TemplateError

from compiler.diagnostics import LetheError

Path = tuple[str | int, ...]
Render = Callable[[Any], str]

# what a template can make of a value that it was never meant for
_UNUSABLE = (TemplateError, LetheError, yaml.YAMLError, TypeError, ValueError, KeyError, AttributeError, ArithmeticError)


@dataclass(frozen=True)
class Decided:
    """A value that decides a line: what it says, or only whether it is there."""

    path: Path
    value: Any
    presence_only: bool


def deciding(data: Any, render: Render, index: int, allowed: Callable[[Path], Sequence[Any]]) -> list[Decided]:
    """Which of the values in `data`, nested mappings and lists, decide line `index` (from 0) of what `render` makes of it.

    `allowed` are other values that may stand at a path, where they are known. A mapping counts only where none of its own values
    does: without it, the line is not there.
    """
    before = render(data).splitlines()
    found: list[Decided] = []
    for path, value in nodes(data):
        if any(decided.path[: len(path)] == path for decided in found):
            continue
        effects = [_effect(data, render, path, other, before, index) for other in others(value, allowed(path))]
        if any(effects):
            found.append(Decided(path, value, presence_only="text" not in effects))
    return found


def nodes(data: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Everything in nested mappings and lists, what is inside before what holds it."""
    items: Sequence[tuple[str | int, Any]] = ()
    if isinstance(data, Mapping):
        items = [(str(key), item) for key, item in data.items()]
    elif isinstance(data, list):
        items = list(enumerate(data))
    for key, item in items:
        yield from nodes(item, (*path, key))
    if path:
        yield path, data


def others(value: Any, allowed: Sequence[Any] = ()) -> list[Any]:
    """Values unlike `value` that could stand in its place."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value * 2 + 1, 0, None] if value else [1, None]
    if isinstance(value, str):
        return [value + "x", *(word for word in allowed if word != value), None]
    if isinstance(value, list):
        return [[*value, value[-1] if value else "x"], []]
    return [None] if value else [1, "x", *allowed]


def put(data: Any, path: Path, value: Any) -> Any:
    """`data` with `value` at `path`; nothing is changed in place."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(data, list):
        return [put(item, rest, value) if number == step else item for number, item in enumerate(data)]
    return {key: put(item, rest, value) if key == step else item for key, item in data.items()}


def _effect(data: Any, render: Render, path: Path, other: Any, before: Sequence[str], index: int) -> str:
    """What another value at `path` does to a line: "text", "presence", or "" when it stays as it is."""
    try:
        after = render(put(data, path, other)).splitlines()
    except _UNUSABLE:
        return ""
    if len(after) == len(before):
        return "text" if after[index] != before[index] else ""
    for tag, start, end, _, _ in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if start <= index < end and tag != "equal":
            return "text" if tag == "replace" else "presence"
    return ""
