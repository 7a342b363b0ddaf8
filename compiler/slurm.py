"""What Slurm's own notations mean."""

from __future__ import annotations

import re

_TIME = re.compile(
    r"(?:(?P<days>\d+)-(?P<dh>\d+)(?::(?P<dm>\d+)(?::(?P<ds>\d+))?)?"
    r"|(?P<h>\d+):(?P<hm>\d+):(?P<hs>\d+)|(?P<m>\d+)(?::(?P<s>\d+))?)\Z"
)


def hours(text: str) -> float:
    """A time limit in hours. Slurm's six forms are M, M:S, H:M:S, D-H, D-H:M and D-H:M:S. Raises ValueError."""
    found = _TIME.match(text)
    if not found:
        raise ValueError(f"'{text}' is no Slurm time: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S")
    part = {name: int(value or 0) for name, value in found.groupdict().items()}
    minutes = part["dm"] + part["hm"] + part["m"]
    seconds = part["ds"] + part["hs"] + part["s"]
    return part["days"] * 24 + part["dh"] + part["h"] + minutes / 60 + seconds / 3600
