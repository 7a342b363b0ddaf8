"""The scatter of a section: what was gained on the trained domain against what was forgotten elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from runtime.report.settings import Cell
from runtime.report.summary import Effect, Report, Section
from runtime.report.svg import Scale, drawing, element, text, ticks, titled
from runtime.report.wording import confidence, interval, own_label, percent, points

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
class Point:
    """A method, or one of its cells: forgetting elsewhere in [0, 1], the gain where it trained, and how to draw it."""

    name: str
    look: int
    forgetting: float
    gain: Effect
    partial: bool


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


def scatter(report: Report, section: Section, identity: str) -> Markup | None:
    """The figure, or None when no method has a result both where it trained and elsewhere."""
    methods, cells = _methods(section), _cells(section)
    if not methods:
        return None
    across = ticks(0.0, max([0.05, *(p.forgetting for p in methods + cells)]))
    values = [v for p in methods for v in (p.gain.delta.low, p.gain.delta.high)] + [p.gain.delta.value for p in cells]
    up = ticks(min([0.0, *values]), max([0.05, *values]))
    x, y = Scale(across[0], across[-1], LEFT, RIGHT), Scale(up[0], up[-1], BOTTOM, TOP)
    title = f"Gain on the trained domain against forgetting elsewhere; start {section.start}, scale {section.scale}"
    marks = [*(_dot(p, x, y) for p in cells), *(_whisker(p, x, y) for p in methods), *(_marker(p, x, y) for p in methods)]
    labels = _labels(methods, x, y)
    return drawing(WIDTH, HEIGHT, title, identity, _axes(across, up, x, y, confidence(report.settings)), *marks, *labels)


def _methods(section: Section) -> list[Point]:
    return [
        Point(summary.name, i, summary.others.forgetting, summary.trained, summary.partial)
        for i, summary in enumerate(section.methods)
        if summary.trained is not None and summary.others is not None
    ]


def _cells(section: Section) -> list[Point]:
    looks = {summary.name: i for i, summary in enumerate(section.methods)}
    points_of_cells = (_cell(cell, section, looks[cell.method]) for cell in section.cells)
    return [point for point in points_of_cells if point is not None]


def _cell(cell: Cell, section: Section, look: int) -> Point | None:
    found = section.summaries[cell.id]
    if found.trained is None or found.others is None:
        return None
    return Point(f"{cell.method}, {own_label(cell)}", look, found.others.forgetting, found.trained, False)


def _said(point: Point) -> str:
    change = point.gain.delta
    return f"{point.name}: gained {points(change.value)} {interval(change)}, forgot {percent(point.forgetting)} % elsewhere"


def shape(look: int, x: float, y: float, radius: float) -> str:
    """The outline of a method's mark around (x, y)."""
    corners = (f"{x + radius * dx:.1f} {y + radius * dy:.1f}" for dx, dy in SHAPES[look % len(SHAPES)])
    return f"M{'L'.join(corners)}z"


def _dot(point: Point, x: Scale, y: Scale) -> Markup:
    place = {"d": shape(point.look, x(point.forgetting), y(point.gain.delta.value), 3.5)}
    return titled(_said(point), {}, element("path", {**place, "class": f"dot m{point.look % COLOURS}"}))


def _whisker(point: Point, x: Scale, y: Scale) -> Markup:
    line = {"x1": x(point.forgetting), "x2": x(point.forgetting), "y1": y(point.gain.delta.low), "y2": y(point.gain.delta.high)}
    return element("line", {**line, "class": f"whisker m{point.look % COLOURS}"})


def _marker(point: Point, x: Scale, y: Scale) -> Markup:
    place = {"d": shape(point.look, x(point.forgetting), y(point.gain.delta.value), 7)}
    style = f"mean m{point.look % COLOURS}" + (" hollow" if point.partial else "")
    return titled(_said(point), {}, element("path", {**place, "class": style}))


def _labels(methods: Sequence[Point], x: Scale, y: Scale) -> list[Markup]:
    """Each name beside its marker, where it covers the least of the markers, the whiskers and the names before it."""
    taken = [_around(x(p.forgetting), y(p.gain.delta.value), 8) for p in methods]
    taken += [Box(x(p.forgetting) - 1, y(p.gain.delta.high), x(p.forgetting) + 1, y(p.gain.delta.low)) for p in methods]
    labels = []
    for point in methods:
        places = _places(x(point.forgetting), y(point.gain.delta.value), 7.8 * len(point.name))
        box = min(places, key=lambda place: sum(place.overlap(other) for other in taken) + place.outside())
        taken.append(box)
        labels.append(text(box.left, box.bottom - 4, point.name, "strong halo"))
    return labels


def _places(x: float, y: float, width: float) -> list[Box]:
    """Where a name of that width may stand, the best first: right, left, and above or below either."""
    sides = (x + 11, x - 11 - width)
    return [Box(left, y + lift - 8, left + width, y + lift + 8) for lift in (0, -13, 13, -24, 24) for left in sides]


def _around(x: float, y: float, radius: float) -> Box:
    return Box(x - radius, y - radius, x + radius, y + radius)


def _axes(across: list[float], up: list[float], x: Scale, y: Scale, level: str) -> Markup:
    vertical = [element("line", {"x1": x(v), "x2": x(v), "y1": TOP, "y2": BOTTOM, "class": "grid"}) for v in across]
    level_lines = [
        element("line", {"x1": LEFT, "x2": RIGHT, "y1": y(v), "y2": y(v), "class": "zero" if v == 0 else "grid"}) for v in up
    ]
    below = [text(x(v), BOTTOM + 18, f"{100 * v:g}", "faint small", "middle") for v in across]
    beside = [text(LEFT - 8, y(v) + 4, points(v).removesuffix(".0"), "faint small", "end") for v in up]
    return element(
        "g",
        {},
        *vertical,
        *level_lines,
        *below,
        *beside,
        text((LEFT + RIGHT) / 2, BOTTOM + 38, "forgotten on the other suites: mean F, in % of items", "small", "middle"),
        element(
            "text",
            {"transform": f"translate(14 {(TOP + BOTTOM) / 2:g}) rotate(-90)", "class": "small", "text-anchor": "middle"},
            f"gained on the trained domain, points, {level} interval",
        ),
        text(LEFT + 8, TOP + 15, "↖ learns more, forgets less", "faint small"),
    )
