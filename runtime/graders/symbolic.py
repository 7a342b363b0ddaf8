r"""Whether two expressions in LaTeX are the same mathematics: math-verify's parser and comparison, in a helper process.

math-verify keeps its time by SIGALRM, which raises in every thread but the main one, and without it some expressions take for
ever. Here it is called without its own clock, and the helper has `SECONDS` of CPU time; what takes more is not equal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from runtime.errors import JobError
from runtime.graders.workers import ask

SECONDS = 3


def is_same(given: str, wanted: str) -> bool:
    """Whether math-verify takes the two for equal; False where it cannot tell in time. From any thread."""
    return ask("symbolic", [given, wanted], SECONDS) is True


def check_installed() -> None:
    """Raise JobError where math-verify is missing, before an answer needs it."""
    is_same("x", "x")


def open_judge() -> Callable[[Any], bool]:
    """In the helper: import math-verify; the function that compares `[given, wanted]`. Raises JobError where it is not
    installed."""
    try:
        from math_verify import LatexExtractionConfig, parse, verify
    except ImportError as error:
        raise JobError(f"the math grader needs math-verify, which cannot be imported here ({error}); install it") from error
    logging.disable(logging.WARNING)  # it warns, each time, that its clock is off
    form = [LatexExtractionConfig()]

    def judge(request: Any) -> bool:
        given, wanted = (parse(f"${text}$", form, parsing_timeout=None) for text in request)
        return bool(given) and bool(wanted) and bool(verify(wanted, given, timeout_seconds=None))

    judge(["x^2", "x \\cdot x"])  # the parser's tables and much of SymPy are loaded when first used
    return judge
