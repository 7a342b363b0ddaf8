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
            caret = " " * (len(line[: self.position.column - 1].expandtabs(4))) + "^"
            number = str(self.position.line)
            parts += [f"  {number} | {line.expandtabs(4)}", f"  {' ' * len(number)} | {caret}"]
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
        self.diagnostics = tuple(dict.fromkeys(sorted(diagnostics, key=lambda d: d.position)))
        super().__init__("\n\n".join(d.render() for d in self.diagnostics))


class TreeError(LetheError):
    """The generated folder cannot or must not be written."""


def spec_error(position: Position, message: str, hint: str = "") -> SpecError:
    """A SpecError of one diagnostic."""
    return SpecError([Diagnostic(position, message, hint)])


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint that names the valid word nearest to `name`, or all of them when none is near."""
    words = sorted(set(valid))
    close = difflib.get_close_matches(name, words, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"valid here: {', '.join(words)}" if words else ""


def _source_line(position: Position) -> str | None:
    if not position.line:
        return None
    try:
        lines = Path(position.file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return lines[position.line - 1] if position.line <= len(lines) else None
