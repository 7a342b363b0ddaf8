"""What a job's code is given: its settings, its inputs' folders, its output folder, and a way to show progress."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECONDS_BETWEEN_LINES = 2.0


@dataclass(frozen=True)
class Input:
    """One artifact that a job reads: who made it, of what type, where it lies, and the fingerprint it must carry."""

    job: str
    type: str
    path: Path
    fingerprint: str
    required: bool = True


@dataclass
class _LastLine:
    """When the last progress line was printed (seconds of the monotonic clock); what the first said, and when (since 1970)."""

    at: float = 0.0
    first: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One job as its code sees it. `out` exists and may hold what an earlier attempt of the same fingerprint left."""

    id: str
    kind: str
    study: str
    fingerprint: str
    cell: Mapping[str, str] | None
    config: Mapping[str, Any]
    inputs: Mapping[str, Input]
    out: Path
    _last: _LastLine = field(default_factory=_LastLine, repr=False, compare=False)

    def progress(self, done: int, total: int, **facts: float | str) -> None:
        """Show that `done` of `total` steps are behind us: a line in the log now and then, and PROGRESS.json for watchers.

        The file also has the time, and this attempt's first report (`first_done`, `first_at`), from which its pace follows.
        """
        now = time.monotonic()
        if done < total and now - self._last.at < SECONDS_BETWEEN_LINES:
            return
        self._last.at = now
        self._last.first = self._last.first or {"first_done": done, "first_at": round(time.time(), 3)}
        shown = " ".join(f"{name}={_short(value)}" for name, value in facts.items())
        print(f"{self.id}: {done}/{total} {shown}".rstrip(), flush=True)
        times = {**self._last.first, "at": round(time.time(), 3)}
        write_json(self.out / "PROGRESS.json", {"done": done, "total": total, **times, **facts})


def write_json(path: Path, value: Any) -> None:
    """Write `value` so that a reader sees the old file or the whole new one, never a part."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` beside `path`, sync it, and rename it into place."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _short(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
