"""What a source hands over: rows of both splits, and what the job's facts say beside their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Made:
    """`train` and `eval` rows, numbered; `facts`: what was left out and why, for the done-marker."""

    train: Rows
    eval: Rows
    facts: Mapping[str, Any] = field(default_factory=dict)
