"""What `begin` leaves for `finish` in a job's folder: which attempt this is, since when, and what must have run.

A launcher may end with 0 although what it was to launch never ran (`ray symmetric-run` does, when Ray does not start). So a
command can be asked to leave a mark of its own (`python -m runtime.launch.marked COMMAND…`), which names the attempt; without
that mark, `finish` makes no done-marker.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from runtime.errors import JobError
from runtime.job import write_json

NAME = "ATTEMPT.json"
MARK = "RAN.json"


@dataclass(frozen=True)
class Attempt:
    """One attempt at a job. `started` is in seconds since 1970; `before` are the seconds that earlier ones came to."""

    id: str
    started: float
    before: float
    marked: bool

    @property
    def seconds(self) -> float:
        """The wall time of this attempt and of what counts of the earlier ones."""
        return round(self.before + max(0.0, time.time() - self.started), 3)


def begin(out: Path, saved: float | None, *, marked: bool) -> None:
    """Record a new attempt. `saved` is when an earlier one saved what this one goes on from: up to there its time counts."""
    earlier = read(out)
    before = 0.0
    if earlier and saved is not None:
        before = earlier.before + max(0.0, saved - earlier.started)
    (out / MARK).unlink(missing_ok=True)
    write_json(out / NAME, asdict(Attempt(uuid.uuid4().hex, time.time(), round(before, 3), marked)))


def read(out: Path) -> Attempt | None:
    """The attempt that was begun last, if one was."""
    try:
        return Attempt(**json.loads((out / NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def mark(out: Path) -> None:
    """Note that the command of the attempt under way has run to its end."""
    current = read(out)
    if current is None:
        raise JobError(f"{out}: no attempt was begun here (no {NAME}); call `python -m runtime begin` first")
    write_json(out / MARK, {"attempt": current.id})


def check(job: str, out: Path) -> None:
    """Raise JobError where the command that must leave its mark has left none in this attempt."""
    current = read(out)
    if current is not None and current.marked and _marked(out) != current.id:
        raise JobError(
            f"{job}: what was to be launched never ran to its end (no {MARK} of this attempt), although the launcher ended "
            "with 0; see its messages above"
        )


def close(out: Path) -> None:
    """Remove what `begin` and the command left, once there is a done-marker."""
    (out / NAME).unlink(missing_ok=True)
    (out / MARK).unlink(missing_ok=True)


def _marked(out: Path) -> str | None:
    try:
        found = json.loads((out / MARK).read_text(encoding="utf-8"))["attempt"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None
