"""Plain text in columns, for people."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], indent: str = "") -> list[str]:
    """A line a row, its columns as wide as the widest word in them, two blanks apart. A row may end before the others."""
    columns = max((len(row) for row in rows), default=0)
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(columns)]
    return [indent + "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=False)).rstrip() for row in rows]
