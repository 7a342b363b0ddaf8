"""The drawings of unlearning: forget quality against model utility, and how soon what was forgotten comes back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from runtime.report.marks import BOTTOM, COLOURS, HEIGHT, LEFT, RIGHT, TOP, WIDTH, around, labels, shape
from runtime.report.metric_wording import told
from runtime.report.relearning import Curve, Relearning
from runtime.report.seeds import LEAST, Mean
from runtime.report.svg import Scale, drawing, element, text, ticks, titled
from runtime.report.unlearning import Panel, Row

QUALITY, UTILITY = "forget_quality", "model_utility"
MOST_DECADES = 8  # labelled on the axis
ITSELF = Mean(1.0, None, None, 1)  # the test's p-value of anything compared with itself
TOLD_APART = 0.05  # below, a test at the usual level tells the model from the reference


@dataclass(frozen=True)
class Place:
    """A row of a panel on its scatter."""

    row: Row
    look: int
    x: float
    y: float


def utility_scatter(panel: Panel, identity: str) -> Markup | None:
    """Forget quality on a logarithmic scale against model utility, the reference at 1; None where no other row has both."""
    rows = [row for row in panel.rows if UTILITY in row.values and (QUALITY in row.values or row.role == "reference")]
    if not any(row.role != "reference" for row in rows):
        return None
    x = Scale(0.0, max(ticks(0.0, max(_highest(row.values[UTILITY]) for row in rows))), LEFT, RIGHT)
    decade = math.floor(min(-1.0, *map(_quality, rows)) + 1e-9)
    y = Scale(decade, 0.0, BOTTOM, TOP + 14)
    looks = {row.name: number for number, row in enumerate(panel.methods)}
    places = [Place(row, looks.get(row.name, 0), x(row.values[UTILITY].value), y(_quality(row))) for row in rows]
    marks = [part for place in places for part in (*_whiskers(place, x, y), _mark(place))]
    names = labels([(place.x, place.y, place.row.name) for place in places], [])
    title = f"Forget quality against model utility: {panel.suite.name}, start {panel.start}, scale {panel.scale}"
    return drawing(WIDTH, HEIGHT, title, identity, _axes(x, y, decade), *_target(places), *marks, *names)


def _log(value: float) -> float:
    return math.log10(max(value, LEAST))


def _quality(row: Row) -> float:
    return _log(row.values.get(QUALITY, ITSELF).value)


def _highest(mean: Mean) -> float:
    return max(mean.value, mean.high or mean.value)


def _mark(place: Place) -> Markup:
    """A method's mark in its colour; the reference's a ring, the start's a cross."""
    values = {name: place.row.values[name] for name in (QUALITY, UTILITY) if name in place.row.values}
    said = f"{place.row.name}: " + ", ".join(f"{name} {told(name, mean)}" for name, mean in values.items())
    if place.row.role == "reference":
        return titled(said, {}, element("circle", {"cx": place.x, "cy": place.y, "r": 9, "class": "ring"}))
    if place.row.role == "start":
        cross = f"M{place.x - 6:.1f} {place.y - 6:.1f}l12 12m0 -12l-12 12"
        return titled(said, {}, element("path", {"d": cross, "class": "cross"}))
    style = f"mean m{place.look % COLOURS}" + (" hollow" if place.row.lacking else "")
    return titled(said, {}, element("path", {"d": shape(place.look, place.x, place.y, 7), "class": style}))


def _whiskers(place: Place, x: Scale, y: Scale) -> list[Markup]:
    """The intervals over seeds, both ways."""
    across, up = place.row.values[UTILITY], place.row.values.get(QUALITY, ITSELF)
    style = f"whisker m{place.look % COLOURS}"
    found = []
    if across.low is not None and across.high is not None:
        ends = {"x1": max(LEFT, x(across.low)), "x2": min(RIGHT, x(across.high)), "y1": place.y, "y2": place.y}
        found.append(element("line", {**ends, "class": style}))
    if up.low is not None and up.high is not None:
        low, high = (min(BOTTOM, y(_log(value))) for value in (up.low, min(1.0, up.high)))
        found.append(element("line", {"x1": place.x, "x2": place.x, "y1": low, "y2": high, "class": style}))
    return found


def _target(places: Sequence[Place]) -> list[Markup]:
    """A line at the reference model's utility: where an unlearned model should be, and as high as it can."""
    return [
        element("line", {"x1": place.x, "x2": place.x, "y1": TOP, "y2": BOTTOM, "class": "aim"})
        for place in places
        if place.row.role == "reference"
    ]


def _axes(x: Scale, y: Scale, decade: int) -> Markup:
    step = -(-abs(decade) // MOST_DECADES)
    levels = range(0, decade - 1, -step)
    lines = [element("line", {"x1": LEFT, "x2": RIGHT, "y1": y(v), "y2": y(v), "class": "grid"}) for v in levels]
    beside = [text(LEFT - 8, y(v) + 4, "1" if v == 0 else f"1e{v}", "faint small", "end") for v in levels]
    across = ticks(0.0, x.high)
    below = [text(x(v), BOTTOM + 18, f"{v:g}", "faint small", "middle") for v in across]
    at = y(math.log10(TOLD_APART))
    apart = [
        element("line", {"x1": LEFT, "x2": RIGHT, "y1": at, "y2": at, "class": "aim"}),
        text(LEFT + 6, at - 5, "p = 0.05", "faint small"),
    ]
    return element(
        "g", {}, *lines, *beside, *below, *apart,
        text((LEFT + RIGHT) / 2, BOTTOM + 38, "model utility", "small", "middle"),
        _upright("forget quality: p-value, logarithmic"),
    )  # fmt: skip


def _upright(words: str) -> Markup:
    """The name of the vertical axis."""
    place = {"transform": f"translate(14 {(TOP + BOTTOM) / 2:g}) rotate(-90)", "class": "small", "text-anchor": "middle"}
    return element("text", place, words)


def relearning_chart(relearning: Relearning, identity: str) -> Markup | None:
    """A line a method from before the training over its measured steps, evenly spaced; None where there is no value."""
    values = [mean.value for curve in relearning.curves for step in relearning.steps if (mean := relearning.at(curve, step))]
    if not values:
        return None
    steps = relearning.steps
    goal = relearning.goal
    up = ticks(0.0, max([*values, *([goal.value] if goal else [])]))
    x, y = Scale(0.0, max(1.0, len(steps) - 1.0), LEFT, RIGHT - 110), Scale(up[0], up[-1], BOTTOM, TOP)
    looks = {curve.name: number for number, curve in enumerate(c for c in relearning.curves if c.role == "method")}
    lines = [part for curve in relearning.curves for part in _line(relearning, curve, looks.get(curve.name), x, y)]
    ends = [end for curve in relearning.curves for end in _end(relearning, curve, x, y)]
    goals = [_goal(y(goal.value), f"start {relearning.start}")] if goal else []
    title = f"Relearning: {relearning.suite.name}, start {relearning.start}, scale {relearning.scale}"
    grid = _chart_axes(steps, up, x, y, relearning.metric)
    names = labels(ends, [around(px, py, 5) for px, py, _ in ends])
    return drawing(WIDTH, HEIGHT, title, identity, grid, *goals, *lines, *names)


def _points(relearning: Relearning, curve: Curve, x: Scale, y: Scale) -> list[tuple[float, float, str]]:
    known = [(place, step, relearning.at(curve, step)) for place, step in enumerate(relearning.steps)]
    return [
        (x(place), y(mean.value), f"{curve.name}, step {step}: {told(relearning.metric, mean)}")
        for place, step, mean in known
        if mean is not None
    ]


def _line(relearning: Relearning, curve: Curve, look: int | None, x: Scale, y: Scale) -> list[Markup]:
    points = _points(relearning, curve, x, y)
    style = "reference-line" if look is None else f"curve m{look % COLOURS}"
    path = "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py, _ in points) if points else ""
    dots = [
        titled(said, {}, element("path", {"d": shape(look or 0, px, py, 4), "class": f"mean m{(look or 0) % COLOURS}"}))
        for px, py, said in points
        if look is not None
    ]
    return [element("path", {"d": path, "class": style}), *dots] if points else []


def _end(relearning: Relearning, curve: Curve, x: Scale, y: Scale) -> list[tuple[float, float, str]]:
    return [(px, py, curve.name) for px, py, _ in _points(relearning, curve, x, y)[-1:]]


def _goal(at: float, name: str) -> Markup:
    line = element("line", {"x1": LEFT, "x2": RIGHT, "y1": at, "y2": at, "class": "aim"})
    return element("g", {}, line, text(LEFT + 6, at - 5, name, "faint small"))


def _chart_axes(steps: Sequence[int], up: Sequence[float], x: Scale, y: Scale, metric: str) -> Markup:
    lines = [element("line", {"x1": LEFT, "x2": RIGHT, "y1": y(v), "y2": y(v), "class": "grid"}) for v in up]
    beside = [text(LEFT - 8, y(v) + 4, f"{v:g}", "faint small", "end") for v in up]
    below = [text(x(n), BOTTOM + 18, str(step) if step else "before", "faint small", "middle") for n, step in enumerate(steps)]
    words = text((LEFT + RIGHT - 110) / 2, BOTTOM + 38, "steps of training on what was forgotten", "small", "middle")
    return element("g", {}, *lines, *beside, *below, words, _upright(metric))
