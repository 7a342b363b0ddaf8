"""What Slurm's own notations mean."""

from __future__ import annotations

import re
from functools import cache

_TIME = re.compile(
    r"(?a:(?P<days>\d+)-(?P<dh>\d+)(?::(?P<dm>\d+)(?::(?P<ds>\d+))?)?"
    r"|(?P<h>\d+):(?P<hm>\d+):(?P<hs>\d+)|(?P<m>\d+)(?::(?P<s>\d+))?)\Z"
)
_MEMORY = re.compile(r"(?:0|[1-9][0-9]*[KMGT])\Z")


@cache
def hours(text: str) -> float:
    """A time limit in hours. Slurm's six forms are M, M:S, H:M:S, D-H, D-H:M and D-H:M:S. Raises ValueError."""
    found = _TIME.match(text)
    if not found:
        raise ValueError(f"'{text}' is no Slurm time: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S")
    part = {name: int(value or 0) for name, value in found.groupdict().items()}
    minutes = part["dm"] + part["hm"] + part["m"]
    seconds = part["ds"] + part["hs"] + part["s"]
    return part["days"] * 24 + part["dh"] + part["h"] + minutes / 60 + seconds / 3600


def time_limit(text: str) -> str:
    """`text`, if it is a time limit. Raises ValueError."""
    if hours(text) == 0:
        raise ValueError(f"'{text}' is no limit: Slurm reads 0 as for ever")
    return text


def memory(text: str) -> str:
    """`text`, if it is a size with its unit, or 0 for all of a node. Raises ValueError."""
    if not _MEMORY.match(text):
        raise ValueError(f"'{text}' is no Slurm size: a number and K, M, G or T, such as 32G; or 0, all of a node's memory")
    return text


def storage(text: str) -> str:
    """`text`, if it is a size with its unit. Raises ValueError."""
    size(text)
    return text


def size(text: str) -> float:
    """A size in bytes: a number and K, M, G or T, in powers of 1024 as Slurm has them. Raises ValueError."""
    if not _MEMORY.match(text) or text == "0":
        raise ValueError(f"'{text}' is no size: a number and K, M, G or T, such as 500G")
    return float(int(text[:-1]) * 1024 ** ("KMGT".index(text[-1]) + 1))


def shown_size(count: float) -> str:
    """A number of bytes with the largest unit that leaves at least one, such as 1.5G."""
    power = max((power for power in range(1, 5) if count >= 1024**power), default=1)
    return f"{count / 1024**power:,.1f}{'KMGT'[power - 1]}"
