"""Means over seeds, with the t interval of independent trainings that differ in nothing else.

Probabilities of a test go over many orders of magnitude, so their mean and its limits are taken of logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 1e-300  # what is smaller counts as this on a logarithmic scale


@dataclass(frozen=True)
class Mean:
    """The mean of `n` trainings; one alone has no limits."""

    value: float
    low: float | None
    high: float | None
    n: int

    @property
    def half(self) -> float | None:
        """Half the width of the interval; None where there is none."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def mean(values: Sequence[float], confidence: float, logarithmic: bool = False) -> Mean:
    """The mean of at least one value with its t interval; on a logarithmic scale the geometric one."""
    if logarithmic and len(values) > 1:
        logs = mean([math.log(max(value, LEAST)) for value in values], confidence)
        return Mean(math.exp(logs.value), math.exp(logs.low or 0.0), math.exp(logs.high or 0.0), logs.n)
    n = len(values)
    middle = math.fsum(values) / n
    if n == 1:
        return Mean(middle, None, None, 1)
    spread = math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (n - 1))
    half = t_quantile(confidence, n - 1) * spread / math.sqrt(n)
    return Mean(middle, middle - half, middle + half, n)


def t_quantile(confidence: float, freedom: int) -> float:
    """The t of a two-sided interval: 12.7 for 0.95 and one degree of freedom. By bisection."""
    low, high = 0.0, 1.0
    while inside(high, freedom) < confidence:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle, freedom) < confidence else (low, middle)
    return (low + high) / 2


def inside(t: float, freedom: int) -> float:
    """The share of Student's distribution within (-t, t), in closed form (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0 if freedom == 1 else term
    for k in range(2 + odd, freedom - 1, 2):
        term *= (k - 1) / k * math.cos(angle) ** 2
        total += term
    whole = math.sin(angle) * total
    return 2 / math.pi * (angle + whole) if odd else whole
