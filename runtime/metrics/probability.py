"""How probable a model finds an answer: TOFU's probability and normalised probability (arXiv 2401.06121).

A sequence is scored at its label tokens: the answer's, with the end token, or all but the first token of a plain text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

EPSILON = 1e-10


def mean_nll(log_probs: Sequence[float] | np.ndarray) -> float:
    """Mean negative log-likelihood (nats a token) of one sequence from the log-probabilities (tokens,) of its labels.

    NaN where there is no token. Higher: better forgotten.
    """
    found = np.asarray(log_probs, dtype=np.float64)
    return float(-found.mean()) if found.size else math.nan


def probability(nll: float) -> float:
    """exp(-nll): the geometric mean of the tokens' probabilities, in [0, 1]. Lower on the forget set: better forgotten."""
    return math.exp(-nll)


def normalised_probability(correct: float, wrong: Sequence[float]) -> float:
    """The right answer's share, p / (p + sum of wrong + 1e-10), of probabilities as `probability` gives them.

    In [0, 1]. Of sets to keep: higher is better kept.
    """
    return correct / (correct + math.fsum(wrong) + EPSILON)
