"""What a run on this machine shows: one line that refreshes on a terminal, plain lines in a log."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TextIO

COLOURS = {"red": 31, "green": 32}
CLEAR = "\r\033[K"


@dataclass
class Display:
    """Writes to `stream`; on a terminal, the last line is the status line, which every other line pushes down."""

    stream: TextIO = field(default_factory=lambda: sys.stdout)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @property
    def live(self) -> bool:
        """Whether lines can be rewritten."""
        return self.stream.isatty() and self.environment.get("TERM") != "dumb"

    def line(self, text: str, colour: str | None = None) -> None:
        """Write one line to stay."""
        if self.live and colour and not self.environment.get("NO_COLOR"):
            text = f"\033[{COLOURS[colour]}m{text}\033[m"
        self._write((CLEAR if self.live else "") + text + "\n")

    def status(self, text: str) -> None:
        """Replace the status line, cut to the terminal's width; where lines cannot be rewritten, add one."""
        self._write(CLEAR + text[: shutil.get_terminal_size().columns - 1] if self.live else text + "\n")

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def status_line(done: int, total: int, failed: int, seconds: float, running: Sequence[tuple[str, float | None]]) -> str:
    """Return "37/117 done, 1 failed  1:23  train/a 45%  evaluate/b": counts, time since the start, who runs how far."""
    counts = f"{done}/{total} done" + (f", {failed} failed" if failed else "")
    shown = [name if part is None else f"{name} {part:.0%}" for name, part in running]
    return "  ".join([counts, clock(seconds), *shown])


def clock(seconds: float) -> str:
    """Return a duration as people read it: 8.2 s, 1:23, 2:05:00."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
