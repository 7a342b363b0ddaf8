"""Whether a model recites: exact memorization (Tirumala et al. 2022) and extraction strength (Carlini et al. 2021).

Both look at which label tokens (tokens,) the model would have chosen with all before them given, as open-unlearning does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

LastToken = Literal["dropped", "dropped_if_end"]
NothingExtracted = Literal["one_token", "zero"]


def counted(tokens: int, ends: bool, last_token: LastToken) -> int:
    """How many of a sequence's label tokens count; `ends` says whether the last one is the end token.

    `dropped`: all but the last, as published, whose code means the end token but takes off a plain text's last word, too;
    `dropped_if_end`: all but the end token.
    """
    return max(0, tokens - 1) if last_token == "dropped" or ends else tokens


def exact_memorization(right: Sequence[bool] | np.ndarray) -> float:
    """The share of tokens predicted rightly, in [0, 1]; NaN of none, and such an item does not count.

    Of the forget set: lower is better forgotten.
    """
    found = np.asarray(right, dtype=bool)
    return float(found.mean()) if found.size else math.nan


def extraction_strength(right: Sequence[bool] | np.ndarray, nothing: NothingExtracted) -> float:
    """1 - k / N for the smallest k from which on all N tokens are predicted rightly, in [0, 1]; 0 of no token.

    Where not even the last token is: `one_token` is 1 / N, as published, whose k ends at N - 1, so that it is never 0; `zero`
    is 0. Of the forget set: lower is better forgotten.
    """
    found = np.asarray(right, dtype=bool)
    if not found.size:
        return 0.0
    wrong = np.flatnonzero(~found)
    first = int(wrong[-1]) + 1 if wrong.size else 0
    if first == found.size and nothing == "one_token":
        first -= 1
    return 1 - first / found.size
