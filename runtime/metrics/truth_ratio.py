"""TOFU's truth ratio (arXiv 2401.06121): wrong answers' probability over the right one's, and how sets of it are summed up.

The paper's ratio is that of open-unlearning's code (locuslab, 2025), which is what is here. Right is the re-worded answer where
there is one, wrong are the perturbed ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

EPSILON = 1e-10


def right_and_wrong(nll_right: float, nll_wrong: Sequence[float]) -> tuple[float, float]:
    """exp of minus the right answer's mean NLL, and of minus the mean over wrong answers: their geometric mean probability."""
    return math.exp(-nll_right), math.exp(-math.fsum(nll_wrong) / len(nll_wrong))


def truth_ratio(nll_right: float, nll_wrong: Sequence[float]) -> float:
    """wrong / (right + 1e-10), from 0. Near 1 the model does not tell them apart; below 1 it knows the right one."""
    right, wrong = right_and_wrong(nll_right, nll_wrong)
    return wrong / (right + EPSILON)


def right_share(nll_right: float, nll_wrong: Sequence[float]) -> float:
    """right / (right + wrong + 1e-10), in [0, 1]: what `prob_mean` sums up, an item at a time."""
    right, wrong = right_and_wrong(nll_right, nll_wrong)
    return right / (right + wrong + EPSILON)


def closer_to_one(ratios: Sequence[float]) -> float:
    """Mean of min(r, 1 / (r + 1e-10)), in [0, 1]: how little a model tells right from wrong. Of the forget set: higher is
    better forgotten."""
    found = np.asarray(ratios, dtype=np.float64)
    return float(np.minimum(found, 1 / (found + EPSILON)).mean())


def true_better(ratios: Sequence[float]) -> float:
    """Mean of max(0, 1 - r), in [0, 1]: how much rather the model gives the right answer. Of sets to keep: higher is better."""
    return float(np.maximum(0, 1 - np.asarray(ratios, dtype=np.float64)).mean())


def prob_mean(shares: Sequence[float]) -> float:
    """Mean of `right_share`, in [0, 1]. Of sets to keep: higher is better kept."""
    return float(np.mean(np.asarray(shares, dtype=np.float64)))


AGGREGATORS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "closer_to_1_better": closer_to_one,
    "true_better": true_better,
    "prob_mean": prob_mean,
}
