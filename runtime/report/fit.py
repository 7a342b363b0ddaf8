"""A polynomial of degree 2 through points by least squares, with the share of variance that it explains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

DEGREE = 2
LEAST_POINTS = DEGREE + 2  # with one fewer it would pass through them all, and explain nothing


@dataclass(frozen=True)
class Quadratic:
    """y = constant + linear x + square x^2 over `n` points, and R^2 = 1 - residual / total sum of squares."""

    constant: float
    linear: float
    square: float
    r2: float
    n: int

    def __call__(self, x: float) -> float:
        return self.constant + x * (self.linear + x * self.square)


def quadratic(points: Sequence[tuple[float, float]]) -> Quadratic | None:
    """The fit; None with fewer than four points or three different x, or where y does not vary and R^2 has no meaning.

    By polynomials that are orthogonal over the points (Forsythe 1957), in x scaled to its own spread.
    """
    if len(points) < LEAST_POINTS or len({x for x, _ in points}) <= DEGREE:
        return None
    centre = math.fsum(x for x, _ in points) / len(points)
    spread = max(abs(x - centre) for x, _ in points)
    xs, ys = [(x - centre) / spread for x, _ in points], [y for _, y in points]
    coefficients = _scaled(xs, ys)
    mean = math.fsum(ys) / len(ys)
    total = math.fsum((y - mean) ** 2 for y in ys)
    if total == 0:
        return None
    a, b, c = coefficients
    rest = math.fsum((y - (a + x * (b + x * c))) ** 2 for x, y in zip(xs, ys, strict=True))
    linear, square = b / spread, c / spread**2
    return Quadratic(
        a - linear * centre + square * centre**2, linear - 2 * square * centre, square, 1 - rest / total, len(points)
    )


def _scaled(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float, float]:
    """Coefficients of 1, x and x^2, from the orthogonal 1, x - m and x^2 - p (x - m) - q."""
    n = len(xs)
    m = math.fsum(xs) / n
    first = [x - m for x in xs]
    size = math.fsum(u * u for u in first)
    p, q = math.fsum(x * x * u for x, u in zip(xs, first, strict=True)) / size, math.fsum(x * x for x in xs) / n
    second = [x * x - p * u - q for x, u in zip(xs, first, strict=True)]
    along = [math.fsum(y * u for y, u in zip(ys, basis, strict=True)) for basis in (first, second)]
    mean, slope, bend = math.fsum(ys) / n, along[0] / size, along[1] / math.fsum(v * v for v in second)
    return mean - slope * m + bend * (p * m - q), slope - bend * p, bend
