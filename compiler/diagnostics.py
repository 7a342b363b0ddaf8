"""What a user is told: one mistake, one message, with the place, the source line, and the nearest valid name.

LetheError                 exit 1: the user can mend it
├── SpecError              one or more Diagnostics, each at a place in a YAML file
└── TreeError              the generated folder is not in a state that may be overwritten
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

WIDEST = 120  # characters of a source line in a message
MOST_WORDS = 200  # that a hint lists


@dataclass(frozen=True, order=True)
class Position:
    """A place in a file. Lines and columns count from 1, as editors do; `line` 0 means the file as a whole.

    `end` is the column after the last character of what stands there; 0 where that is on another line, or not known.
    """

    file: str
    line: int = 0
    column: int = 0
    end: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Hint(str):
    """What to do next; where that is to write another word, `suggestion` is the word."""

    suggestion: str | None

    def __new__(cls, text: str, suggestion: str | None = None) -> Hint:
        made = super().__new__(cls, text)
        made.suggestion = suggestion
        return made


@dataclass(frozen=True)
class Diagnostic:
    """One mistake: where it is, what is wrong, how that came about where it is not plain, and what to do next."""

    position: Position
    message: str
    hint: str = ""
    detail: str = ""
    severity: Literal["error", "warning"] = "error"

    @property
    def suggestion(self) -> str | None:
        """The word that should stand at the position, where one is near."""
        return self.hint.suggestion if isinstance(self.hint, Hint) else None

    def render(self) -> str:
        """The message as people see it: place, text, source line with a caret, detail, hint. At most 8 lines."""
        parts = [f"{self.position}: {self.severity}: {_one_line(self.message)}"]
        line = _source_line(self.position)
        if line is not None:
            shown, before = _window(line, self.position.column - 1)
            number = str(self.position.line)
            parts += [f"  {number} | {shown}", f"  {' ' * len(number)} | {' ' * before}^"]
        parts += [f"  {_one_line(self.detail)}"] if self.detail else []
        parts += [f"  hint: {_one_line(self.hint)}"] if self.hint else []
        return "\n".join(parts)

    def as_json(self) -> dict[str, Any]:
        """The same for tools. Columns count from 1, and `end` is the first that is no part of it any more.

        `range` and `snippet` are null where the file as a whole is meant or cannot be read.
        """
        line = _source_line(self.position)
        return {
            "severity": self.severity, "summary": self.message, "detail": self.detail, "hint": str(self.hint),
            "file": self.position.file, "range": _range(self.position, line), "snippet": line, "suggestion": self.suggestion,
        }  # fmt: skip


class LetheError(Exception):
    """Something that the user can mend. Its text is whole sentences; no traceback is shown."""


class SpecError(LetheError):
    """The study or the catalog is wrong, at one or more places."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        found = _but_misspelt(sorted(diagnostics, key=lambda d: d.position))
        # One mistake of a mapping that several definitions share by an alias is one mistake.
        once = {(d.position, d.hint or d.message): d for d in reversed(found)}
        self.diagnostics = tuple(reversed(once.values()))
        super().__init__("\n\n".join(d.render() for d in self.diagnostics))


def _but_misspelt(found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Without what else is said of a misspelt word: what was meant there is a guess, and the rest follows from it."""
    misspelt: dict[tuple[Position, int], Diagnostic] = {}
    for diagnostic in found:
        if diagnostic.suggestion is not None:
            misspelt.setdefault((diagnostic.position, diagnostic.position.end), diagnostic)
    return [d for d in found if misspelt.get((d.position, d.position.end), d) is d]


class TreeError(LetheError):
    """The generated folder cannot or must not be written."""


def spec_error(position: Position, message: str, hint: str = "") -> SpecError:
    """A SpecError of one diagnostic."""
    return SpecError([Diagnostic(position, message, hint)])


def nearest(name: str, valid: Iterable[str], said: Iterable[str] = ()) -> Hint:
    """A hint that names the valid word nearest to `name`, or all of them when none is near and they are not too many.

    `said` are the words that are there already: of two that are near, the other one is meant.
    """
    words, there = sorted(set(valid)), {*said}
    slips = [word for word in words if one_slip(name, word)]
    for near in ([word for word in slips if word not in there], slips, [word for word in words if word not in there], words):
        found = difflib.get_close_matches(name, near, n=1, cutoff=0.0 if slips else 0.6)
        if found:
            return Hint(f"did you mean '{found[0]}'?", found[0])
    if len(words) > MOST_WORDS:
        return Hint(f"{len(words)} words are valid here, and none is like it")
    return Hint(f"valid here: {', '.join(words)}" if words else "")


def closest(name: str, valid: Iterable[str]) -> str | None:
    """The valid word that `name` most likely stands for: one slip of the keyboard away, else one that looks like it."""
    return nearest(name, valid).suggestion


def one_slip(one: str, other: str) -> bool:
    """Whether one character added, left out, replaced, or swapped with the next leads from `one` to `other`."""
    one, other = one.lower(), other.lower()
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    a, b = one[same:], other[same:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[1::-1] == b[:2] and a[2:] == b[2:])


def _one_line(text: str) -> str:
    """A text with values from a file in it, whose line ends would break the message."""
    return text.replace("\n", "\\n").replace("\r", "\\r")


def _range(position: Position, line: str | None) -> dict[str, Any] | None:
    """From the first character of what stands there to the one after its last, or to the end of its first line."""
    if not position.line:
        return None
    end = position.end or max(position.column + 1, len((line or "").rstrip()) + 1)
    start = {"line": position.line, "column": position.column}
    return {"start": start, "end": {"line": position.line, "column": end}}


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
