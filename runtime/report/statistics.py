"""Paired statistics of one model before and after a training, on the same items.

A single task is a list of differences d_i = after_i - before_i in [-1, 1], one per item. Its interval is the adjusted Wald
interval for paired proportions of Bonett and Price (J. Educ. Behav. Stat. 37(4), 2012, 479-488): two imaginary items, one
gained and one lost, are added before the Wald formula is used. It is a closed form, has a positive width when no item
changed, covers at least nominally down to small samples, and keeps its meaning for graded outcomes between 0 and 1.

A mean over tasks, suites or cells combines their intervals by the method of variance estimates recovery (MOVER; Zou and
Donner, Stat. Med. 27, 2008, 1693-1702), with the correlation of estimates that share their items.

Forgetting and backward transfer are those of Harmon, Hochlehnert, Bethge and Prabhu (arXiv 2510.17776), not corrected for
chance: F = mean 1{pre = 1, post = 0} and BT = mean 1{pre = 0, post = 1}, so that after - before = BT - F.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from statistics import NormalDist

LEAST_CONFIDENCE = 0.8  # below about 0.78 the adjusted interval may leave out the estimate it belongs to
ROUNDING = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A change with its confidence limits, all in [-1, 1]."""

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 when the whole interval lies above or below zero, 0 when it does not."""
        return int(self.low > 0) - int(self.high < 0)

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Paired:
    """One task's outcomes before and after, and what changed between them; every number is a mean over `n` items."""

    n: int
    before: float
    after: float
    forgetting: float
    backward: float
    delta: Estimate


def paired(before: Sequence[float], after: Sequence[float], confidence: float) -> Paired:
    """Compare outcomes in [0, 1] of the same items, in the same order. For bools this is F and BT as defined above.

    Raises ValueError for empty or unequal lists, and ArithmeticError should the identity after - before = BT - F not hold.
    """
    differences = [late - early for early, late in zip(before, after, strict=True)]
    n = len(differences)
    if n == 0:
        raise ValueError("a paired comparison needs at least one item")
    backward = math.fsum(d for d in differences if d > 0) / n
    forgetting = math.fsum(-d for d in differences if d < 0) / n
    mean_before, mean_after = math.fsum(before) / n, math.fsum(after) / n
    if abs((mean_after - mean_before) - (backward - forgetting)) > ROUNDING:
        raise ArithmeticError("after - before differs from BT - F")
    low, high = adjusted_wald(differences, confidence)
    return Paired(n, mean_before, mean_after, forgetting, backward, Estimate(backward - forgetting, low, high))


def adjusted_wald(differences: Sequence[float], confidence: float) -> tuple[float, float]:
    """The interval of Bonett and Price (2012, eq. 4) for the mean of paired differences in [-1, 1].

    With differences of -1, 0 and 1 it is theirs; differences in between enter their variance term as squares.
    """
    if not LEAST_CONFIDENCE <= confidence < 1:
        raise ValueError(f"confidence must lie in [{LEAST_CONFIDENCE}, 1), not {confidence}")
    size = len(differences) + 2
    centre = math.fsum(differences) / size
    square = (math.fsum(d * d for d in differences) + 2) / size
    half = normal_quantile(confidence) * math.sqrt((square - centre * centre) / size)
    return max(-1.0, centre - half), min(1.0, centre + half)


def normal_quantile(confidence: float) -> float:
    """The z of a two-sided interval: 1.96 for 0.95."""
    z: float = NormalDist().inv_cdf((1 + confidence) / 2)
    return z


def correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Pearson correlation of two changes over the same items; 1, the cautious answer, when either did not vary."""
    n = len(first)
    mean_first, mean_second = math.fsum(first) / n, math.fsum(second) / n
    rest_first = [x - mean_first for x in first]
    rest_second = [y - mean_second for y in second]
    spread = math.sqrt(math.fsum(map(mul, rest_first, rest_first)) * math.fsum(map(mul, rest_second, rest_second)))
    if spread <= ROUNDING:
        return 1.0
    return max(-1.0, min(1.0, math.fsum(map(mul, rest_first, rest_second)) / spread))


def weighted_sum(parts: Sequence[Estimate], weights: Sequence[float], correlations: Sequence[Sequence[float]]) -> Estimate:
    """sum_k weights[k] * parts[k] for weights >= 0, limits by MOVER; `correlations` is square, symmetric, 1 on its diagonal."""
    value = math.fsum(w * part.value for w, part in zip(weights, parts, strict=True))
    below = [w * (part.value - part.low) for w, part in zip(weights, parts, strict=True)]
    above = [w * (part.high - part.value) for w, part in zip(weights, parts, strict=True)]
    return Estimate(value, value - _length(below, correlations), value + _length(above, correlations))


def sum_of_independent(parts: Sequence[Estimate]) -> Estimate:
    """The sum of estimates that share no item: `weighted_sum` with weights 1 and no correlation, in linear time."""
    value = math.fsum(part.value for part in parts)
    below = math.hypot(*(part.value - part.low for part in parts))
    above = math.hypot(*(part.high - part.value for part in parts))
    return Estimate(value, value - below, value + above)


def mean_of_independent(parts: Sequence[Estimate]) -> Estimate:
    """The mean of estimates that share no item."""
    size = len(parts)
    return sum_of_independent([Estimate(part.value / size, part.low / size, part.high / size) for part in parts])


def _length(distances: Sequence[float], correlations: Sequence[Sequence[float]]) -> float:
    """sqrt(d' R d); undefined correlations set to 1 may leave R slightly indefinite, hence the floor."""
    square = math.fsum(a * math.fsum(map(mul, row, distances)) for a, row in zip(distances, correlations, strict=True))
    return math.sqrt(max(0.0, square))
