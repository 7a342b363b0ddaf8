"""Warnings that many jobs share, told once, of the worst of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Remark:
    """What may go wrong with one job. Of several `about` the same, the one of the largest `size` is told."""

    about: str
    job: str
    text: str
    size: float = 0.0


def told(remarks: Iterable[Remark]) -> list[str]:
    """One line for each thing that remarks are about."""
    groups: dict[str, list[Remark]] = {}
    for remark in remarks:
        groups.setdefault(remark.about, []).append(remark)
    return [_line(group) for group in groups.values()]


def _line(group: list[Remark]) -> str:
    worst = max(group, key=lambda remark: remark.size)
    others = len({remark.job for remark in group}) - 1
    return f"{worst.job}{f' (and {others} more like it)' if others else ''}: {worst.text}"
