"""The done-marker: `DONE.json`, written last, atomically, into the folder of an artifact that met its contract.

    {"lethe": 1, "job": …, "kind": …, "type": …, "fingerprint": …, "facts": {…}, "seconds": 8.2, "finished": "2026-…Z",
     "environment": {"name": "verl", "lock": "02e1…"}, "lineage": [{"job": …, "kind": …, …}]}

`facts` are what the job's code found worth recording, `seconds` the wall time of its last attempt, with that of earlier ones
where another program went on from their checkpoints (runtime/store/attempts.py), or null when Lethe did not time it.
`environment` says where it ran, with the hash of the lock of what was installed there; it is null in markers of old. `lineage`
tells what happened in the samplings and trainings that led here (runtime/lifecycle/lineage.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runtime.job import write_json

NAME = "DONE.json"
ARCHIVED = "ARCHIVED.json"  # beside it where all else was moved to an archive (runtime/operations/archive.py)


@dataclass(frozen=True)
class Marker:
    """What a done-marker says. `finished` is UTC, in ISO 8601 with whole seconds."""

    job: str
    kind: str
    type: str
    fingerprint: str
    facts: Mapping[str, Any]
    seconds: float | None
    finished: str
    environment: Mapping[str, str | None] | None = None
    lineage: tuple[Mapping[str, Any], ...] = ()


def read(folder: Path) -> Marker | None:
    """Return the marker in `folder`, or None where there is none that can be read."""
    try:
        fields = json.loads((folder / NAME).read_text(encoding="utf-8"))
        del fields["lethe"]
        return Marker(**{**fields, "lineage": tuple(fields.get("lineage", ()))})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_done(folder: Path, fingerprint: str) -> bool:
    """Say whether `folder` holds a finished artifact of exactly this fingerprint."""
    marker = read(folder)
    return marker is not None and marker.fingerprint == fingerprint


def archived_to(folder: Path) -> str:
    """Say where what was in `folder` is now; "" while it is still there."""
    try:
        found: str = json.loads((folder / ARCHIVED).read_text(encoding="utf-8"))["to"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return found


def write(folder: Path, marker: Marker) -> None:
    """Write `marker` as the last act of its job."""
    write_json(folder / NAME, {"lethe": 1, **asdict(marker)})


def now() -> str:
    """Return this moment as markers and ledgers write it: UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
