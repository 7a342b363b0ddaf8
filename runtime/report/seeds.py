"""Means over repeated trainings with other seeds, and their intervals by Student's t."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 2  # seeds without which there is no interval


@dataclass(frozen=True)
class Spread:
    """A mean over `n` seeds, with the interval for the mean of all seeds; none (NaN) over fewer than two."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return self.n >= LEAST


def over_seeds(values: Sequence[float], confidence: float) -> Spread:
    """mean ± t s / sqrt(n), with t of n - 1 degrees of freedom; assumes that seeds are independent and about normal."""
    n, mean = len(values), math.fsum(values) / len(values)
    if n < LEAST:
        return Spread(mean, math.nan, math.nan, n)
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = t_quantile(confidence, n - 1) * math.sqrt(variance / n)
    return Spread(mean, mean - half, mean + half, n)


def t_quantile(confidence: float, freedom: int) -> float:
    """The t of a two-sided interval with so many degrees of freedom: 4.303 for 0.95 and 2. Bisects `t_within`."""
    low, high = 0.0, 1.0
    while t_within(high, freedom) < confidence:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if t_within(middle, freedom) < confidence else (low, middle)
    return (low + high) / 2


def t_within(t: float, freedom: int) -> float:
    """The chance that Student's t lies between -t and t (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4)."""
    angle = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2 == 1
    term, total = cosine if odd else 1.0, 0.0
    for place in range(1 if odd else 0, freedom - 1, 2):
        total += term
        term *= cosine * cosine * (place + 1) / (place + 2)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
