"""A value before and after, on one line."""

from __future__ import annotations

from typing import Any

from compiler.plan.canonical import plain
from compiler.text import canonical_json

WIDEST = 60  # characters of a value


def text_of(field: str, old: Any, new: Any) -> str:
    """A field with its old and its new value: `settings.lr 1e-06 -> 5e-07`. Of long values only what tells them apart."""
    field = field.removeprefix("plan.")
    if isinstance(old, list) and isinstance(new, list) and max(len(repr(old)), len(repr(new))) > WIDEST:
        return f"{field} {_items(old, new)}"
    one, other = str(old) if isinstance(old, str) else repr(old), str(new) if isinstance(new, str) else repr(new)
    start = max(0, _same(one, other) - 10) if max(len(one), len(other)) > WIDEST else 0
    return f"{field} {_window(one, start)} -> {_window(other, start)}"


def _items(old: list[Any], new: list[Any]) -> str:
    """Two long lists, in numbers."""
    was, now = (({canonical_json(plain(item)) for item in side}) for side in (old, new))
    parts = [f"{number:,} {word}" for number, word in ((len(now - was), "new"), (len(was - now), "gone")) if number]
    return f"{len(old):,} -> {len(new):,} items ({', '.join(parts) or 'in another order'})"


def _same(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _window(text: str, start: int) -> str:
    """A value on one line, of a long one what stands where the difference begins."""
    cut = text[start : start + WIDEST].replace("\n", "\\n")
    return f"{'...' if start else ''}{cut}{'...' if len(text) > start + WIDEST else ''}"
