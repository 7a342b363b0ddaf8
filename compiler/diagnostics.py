"""What a user is told: one mistake, one message, with the place, the source line, and the nearest valid name.

LetheError                 exit 1: the user can mend it
├── SpecError              one or more Diagnostics, each at a place in a YAML file
└── TreeError              the generated folder is not in a state that may be overwritten
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

WIDEST = 120  # characters of a source line in a message


@dataclass(frozen=True, order=True)
class Position:
    """A place in a file. Lines and columns count from 1, as editors do; `line` 0 means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Diagnostic:
    """One mistake: where it is, what is wrong, and what to do next."""

    position: Position
    message: str
    hint: str = ""

    def render(self) -> str:
        """The message as people see it: place, text, source line with a caret, hint."""
        parts = [f"{self.position}: error: {self.message}"]
        line = _source_line(self.position)
        if line is not None:
            shown, before = _window(line, self.position.column - 1)
            number = str(self.position.line)
            parts += [f"  {number} | {shown}", f"  {' ' * len(number)} | {' ' * before}^"]
        if self.hint:
            parts.append(f"  hint: {self.hint}")
        return "\n".join(parts)

    def as_json(self) -> dict[str, Any]:
        """The same for tools."""
        return {**asdict(self.position), "message": self.message, "hint": self.hint}


class LetheError(Exception):
    """Something that the user can mend. Its text is whole sentences; no traceback is shown."""


class SpecError(LetheError):
    """The study or the catalog is wrong, at one or more places."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        found = sorted(diagnostics, key=lambda d: d.position)
        # One mistake of a mapping that several definitions share by an alias is one mistake.
        once = {(d.position, d.hint or d.message): d for d in reversed(found)}
        self.diagnostics = tuple(reversed(once.values()))
        super().__init__("\n\n".join(d.render() for d in self.diagnostics))


class TreeError(LetheError):
    """The generated folder cannot or must not be written."""


def spec_error(position: Position, message: str, hint: str = "") -> SpecError:
    """A SpecError of one diagnostic."""
    return SpecError([Diagnostic(position, message, hint)])


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint that names the valid word nearest to `name`, or all of them when none is near."""
    words = sorted(set(valid))
    close = closest(name, words)
    if close:
        return f"did you mean '{close}'?"
    return f"valid here: {', '.join(words)}" if words else ""


def closest(name: str, valid: Iterable[str]) -> str | None:
    """The valid word that `name` most likely stands for: one slip of the keyboard away, else one that looks like it."""
    words = sorted(set(valid))
    slips = [word for word in words if _one_slip(name.lower(), word.lower())]
    found = difflib.get_close_matches(name, slips or words, n=1, cutoff=0.0 if slips else 0.6)
    return found[0] if found else None


def _one_slip(one: str, other: str) -> bool:
    """Whether one character added, left out, replaced, or swapped with the next leads from `one` to `other`."""
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    a, b = one[same:], other[same:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[1::-1] == b[:2] and a[2:] == b[2:])


def _window(line: str, column: int) -> tuple[str, int]:
    """At most WIDEST characters of a line around a column, and how many of them, as shown, stand before it."""
    start = max(0, min(column - WIDEST // 2, len(line) - WIDEST))
    cut = line[start : start + WIDEST]
    left, right = "..." if start else "", "..." if start + WIDEST < len(line) else ""
    return left + cut.expandtabs(4) + right, len(left) + len(cut[: column - start].expandtabs(4))


def _source_line(position: Position) -> str | None:
    if not position.line:
        return None
    try:
        lines = Path(position.file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return lines[position.line - 1] if position.line <= len(lines) else None
