"""What several verbs say alike."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def warn(warnings: Sequence[str]) -> None:
    """Warnings of a plan, for people."""
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
