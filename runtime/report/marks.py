"""Marks of a scatter, told apart by shape as well as by colour, and names beside them that cover as little as can be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from runtime.report.svg import text

WIDTH, HEIGHT = 540.0, 520.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 520.0, 18.0, 464.0
COLOURS = 8  # the page's style names them m0 to m7
SHAPES: tuple[tuple[tuple[float, float], ...], ...] = (
    tuple((math.cos(math.tau * i / 24), math.sin(math.tau * i / 24)) for i in range(24)),  # circle
    ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),  # square
    ((0, -1.2), (1.2, 0.9), (-1.2, 0.9)),  # triangle
    ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),  # diamond
    ((0, 1.2), (1.2, -0.9), (-1.2, -0.9)),  # triangle on its head
    ((-0.6, -1.1), (0.6, -1.1), (1.2, 0), (0.6, 1.1), (-0.6, 1.1), (-1.2, 0)),  # hexagon
    ((0, -1.3), (0.4, -0.4), (1.3, 0), (0.4, 0.4), (0, 1.3), (-0.4, 0.4), (-1.3, 0), (-0.4, -0.4)),  # star
)


@dataclass(frozen=True)
class Box:
    """A rectangle of the drawing; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, across) * max(0.0, down)

    def outside(self) -> float:
        """A price for leaving the drawing, above that of any overlap."""
        return 1e6 * (self.right > WIDTH or self.left < LEFT or self.top < 0)


def shape(look: int, x: float, y: float, radius: float) -> str:
    """The path of a mark; looks beyond the number of shapes begin again, in another colour."""
    corners = (f"{x + radius * dx:.1f} {y + radius * dy:.1f}" for dx, dy in SHAPES[look % len(SHAPES)])
    return f"M{'L'.join(corners)}z"


def labels(marks: Sequence[tuple[float, float, str]], covered: Sequence[Box]) -> list[Markup]:
    """Each name beside its mark, where it hides the least of the marks, of what is `covered`, and of the names before it."""
    taken = [*(around(x, y, 8) for x, y, _ in marks), *covered]
    found = []
    for x, y, name in marks:
        places = _places(x, y, 7.8 * len(name))
        box = min(places, key=lambda place: sum(place.overlap(other) for other in taken) + place.outside())
        taken.append(box)
        found.append(text(box.left, box.bottom - 4, name, "strong halo"))
    return found


def around(x: float, y: float, radius: float) -> Box:
    """The square about a point."""
    return Box(x - radius, y - radius, x + radius, y + radius)


def _places(x: float, y: float, width: float) -> list[Box]:
    """Where a name of that width may stand, the best first: right, left, and above or below either."""
    sides = (x + 11, x - 11 - width)
    return [Box(left, y + lift - 8, left + width, y + lift + 8) for lift in (0, -13, 13, -24, 24) for left in sides]
