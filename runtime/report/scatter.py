"""The scatter of a section: what was gained on the trained domain against what was forgotten elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from runtime.report.marks import BOTTOM, COLOURS, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Box, labels, shape
from runtime.report.settings import Cell
from runtime.report.summary import Effect, Report, Section
from runtime.report.svg import Scale, drawing, element, text, ticks, titled
from runtime.report.wording import confidence, interval, own_label, percent, points


@dataclass(frozen=True)
class Point:
    """A method, or one of its cells: forgetting elsewhere in [0, 1], the gain where it trained, and how to draw it."""

    name: str
    look: int
    forgetting: float
    gain: Effect
    partial: bool


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
    names = _labels(methods, x, y)
    return drawing(WIDTH, HEIGHT, title, identity, _axes(across, up, x, y, confidence(report.settings)), *marks, *names)


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
    """Each name beside its marker, off the whiskers."""
    whiskers = [Box(x(p.forgetting) - 1, y(p.gain.delta.high), x(p.forgetting) + 1, y(p.gain.delta.low)) for p in methods]
    return labels([(x(p.forgetting), y(p.gain.delta.value), p.name) for p in methods], whiskers)


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
