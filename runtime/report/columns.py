"""Columns of plain text: rows whose entries stand below each other, and tables cut into blocks that fit a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WIDTH = 100  # of the report as text, in columns


def blocks(columns: Mapping[str, list[str]], room: int) -> list[dict[str, list[str]]]:
    """The columns in as few groups as fit in `room` characters each, by their names."""
    found: list[dict[str, list[str]]] = [{}]
    left = room
    for name, rows in columns.items():
        width = 1 + max(map(len, rows))
        if found[-1] and width > left:
            found.append({})
            left = room
        found[-1][name] = rows
        left -= width
    return found


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as lines whose columns stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{value:{width}}" for value, width in zip(row, widths, strict=True)).rstrip() for row in rows]
