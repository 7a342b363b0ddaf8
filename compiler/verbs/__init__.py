"""The verbs of `lethe`: each module adds its arguments to argparse, and imports what is heavy when it runs."""

from __future__ import annotations

from pathlib import Path

GENERATED = Path("generated")

OK, USER_ERROR, CHANGES, INCOMPLETE, BUG = 0, 1, 2, 3, 70
