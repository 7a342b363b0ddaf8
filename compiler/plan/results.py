"""Done-markers: what the store says of finished results. Only files are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def done_marker(folder: Path) -> Mapping[str, Any] | None:
    """What the marker of a finished result says; None where there is none that can be read."""
    try:
        found = json.loads((folder / "DONE.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def made_as(folder: Path) -> str | None:
    """The fingerprint of the finished result in a folder."""
    marker = done_marker(folder) or {}
    return str(marker["fingerprint"]) if "fingerprint" in marker else None
