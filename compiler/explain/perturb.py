"""Which values decide a line of a generated file.

Found out by trying: the file is rendered again with one value changed at a time, and a value that changes the line decides it.
So this holds for every template there is, and says nothing that is not so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


TEXT, PRESENCE, NONE = "text", "presence", "none"  # what a value does to a line


@dataclass(frozen=True)
class Decided:
    """A value that decides a line: what it says, or only whether it is there."""

    path: Path
    value: Any
    presence_only: bool


def deciding(data: Any, render: Render, index: int, allowed: Callable[[Path], Sequence[Any]]) -> list[Decided]:
    """Which of the values in `data`, nested mappings and lists, decide line `index` (from 0) of what `render` makes of it.

    `data` maps names to mappings of values. `allowed` are other values that may stand at a path, where they are known.
    A mapping counts only where none of its own values does: without it, the line is not there.
    """
    before = render(data).splitlines()

    def effects(path: Path, values: Sequence[Any]) -> set[str]:
        tried = (_effect(render, put(data, path, value), before, index) for value in values)
        return {effect for effect in tried if effect}

    def relevant(path: Path, items: list[Any], start: int, end: int) -> list[int]:
        """Which of the items from `start` to `end` the line is not the same without; halves are tried before single ones."""
        if effects(path, [items[:start] + items[end:]]) == {NONE}:
            return []
        if end - start == 1:
            return [start]
        middle = (start + end) // 2
        return relevant(path, items, start, middle) + relevant(path, items, middle, end)

    def search(path: Path, value: Any) -> list[Decided]:
        if isinstance(value, dict | list) and value:
            if len(path) > 1 and effects(path, [type(value)()]) == {NONE}:  # the line is the same without all of it
                return []
            kept = relevant(path, value, 0, len(value)) if isinstance(value, list) else list(value)
            inside = [found for key in kept for found in search((*path, key), value[key])]
            if inside or not path:
                return inside
        found = effects(path, others(value, allowed(path))) - {NONE}
        return [Decided(path, value, presence_only=TEXT not in found)] if found else []

    return search((), data)


def others(value: Any, allowed: Sequence[Any] = ()) -> list[Any]:
    """Values unlike `value` that could stand in its place."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value * 2 + 1, 0, None] if value else [1, None]
    if isinstance(value, str):
        return ["x" + value, value + "x", *(word for word in allowed if word != value), None]
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


def _effect(render: Render, data: Any, before: Sequence[str], index: int) -> str:
    """What other data does to a line: to its text, to its presence, or nothing; "" where nothing can be rendered from it."""
    try:
        after = render(data).splitlines()
    except _UNUSABLE:
        return ""
    if len(after) == len(before):
        return TEXT if after[index] != before[index] else NONE
    same = _same(before, after)
    below = _same(before[same:][::-1], after[same:][::-1])
    if not same <= index < len(before) - below:
        return NONE
    middle = SequenceMatcher(None, before[same : len(before) - below], after[same : len(after) - below], autojunk=False)
    tag = next(tag for tag, start, end, _, _ in middle.get_opcodes() if start <= index - same < end)
    return {"equal": NONE, "replace": TEXT}.get(tag, PRESENCE)


def _same(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines two texts begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
