"""The heatmap of a section: cells down, suites across, each change as a colour and as its number."""

from __future__ import annotations

from markupsafe import Markup

from runtime.report.compare import Comparison, Level
from runtime.report.results import Problem
from runtime.report.settings import Cell, Suite
from runtime.report.statistics import Estimate
from runtime.report.summary import Report, Result, Section
from runtime.report.svg import Attributes, drawing, element, text, titled
from runtime.report.wording import GAIN, LOSS, confidence, interval, mark, own_label, percent, points

ROW, TOP, FOOT, GROUP_GAP = 27.0, 44.0, 58.0, 5.0
LABELS = 176.0
ROOM = 440.0  # for all columns
LEAST_SCALE = 0.05  # a study in which nothing moved must not look dramatic
DARK_FROM = {"gain": 0.72, "loss": 0.8}  # from this opacity on, light digits read better than dark ones


def heatmap(report: Report, section: Section, identity: str) -> Markup:
    """The figure; its colours span the section's largest change."""
    suites = report.settings.suites
    width = max(74.0, min(112.0, ROOM / len(suites)))
    tops = _tops(section.cells)
    bottom = tops[-1] + ROW
    limit = _limit(section)
    parts = [_hatch(identity), *(_heading(section, suite, LABELS + i * width, width) for i, suite in enumerate(suites))]
    for cell, top, first in zip(section.cells, tops, _firsts(section.cells), strict=True):
        parts.append(_label(cell, top, first))
        for i, suite in enumerate(suites):
            result = section.results.get((cell.id, suite.name))
            parts.append(_square(result, LABELS + i * width, top, width, limit, identity))
    parts += [_legend(bottom + 18, limit)] if section.compared else []
    where = f"start {section.start}, scale {section.scale}"
    title = f"Change on every suite, in points; {where}, {confidence(report.settings)} intervals"
    title = title if section.compared else f"Score on every suite, in %; {where}"
    return drawing(LABELS + width * len(suites) + 4, bottom + FOOT, title, identity, *parts)


def _firsts(cells: tuple[Cell, ...]) -> list[bool]:
    """Where another method begins."""
    return [i == 0 or cells[i - 1].method != cell.method for i, cell in enumerate(cells)]


def _tops(cells: tuple[Cell, ...]) -> list[float]:
    top, tops = TOP - ROW - GROUP_GAP, []
    for first in _firsts(cells):
        top += ROW + GROUP_GAP * first
        tops.append(top)
    return tops


def _limit(section: Section) -> float:
    changes = [abs(r.outcome.delta.value) for r in section.results.values() if isinstance(r.outcome, Comparison)]
    return max([LEAST_SCALE, *changes])


def _heading(section: Section, suite: Suite, left: float, width: float) -> Markup:
    measures = f"measures {', '.join(suite.domains)}" if suite.domains else "measures no trained domain"
    items = {r.outcome.n for r in section.results.values() if r.suite is suite and not isinstance(r.outcome, Problem)}
    centre = left + width / 2
    return titled(
        f"{suite.name}: {measures}; tasks {', '.join(suite.tasks)}",
        {},
        text(centre, 18, _cut(suite.name, int(width / 7.5)), "strong", "middle"),
        text(centre, 33, f"{items.pop()} items" if len(items) == 1 else "", "faint small", "middle"),
    )


def _label(cell: Cell, top: float, first: bool) -> Markup:
    method = [text(0, top + 18, _cut(cell.method, 12), "strong")] if first else []
    return titled(cell.id, {}, *method, text(LABELS - 12, top + 18, _cut(own_label(cell), 11 if first else 24), "faint", "end"))


def _cut(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _square(result: Result | None, left: float, top: float, width: float, limit: float, identity: str) -> Markup:
    box: Attributes = {"x": left + 1.5, "y": top + 1.5, "width": width - 3, "height": ROW - 3, "rx": 4}
    centre, base = left + width / 2, top + 18
    if result is None:
        return titled("not planned", {}, text(centre, base, "–", "faint", "middle"))  # noqa: RUF001
    outline = [element("rect", {**box, "class": "trained"})] if result.trained else []
    if isinstance(result.outcome, Problem):
        gap = {**box, "fill": f"url(#{identity}-hatch)", "class": f"gap {result.outcome.status}"}
        word = text(centre, base, result.outcome.status, f"small {result.outcome.status}-word", "middle")
        return titled(_said(result), {}, element("rect", gap), word, *outline)
    if isinstance(result.outcome, Level):
        score = text(centre, base, percent(result.outcome.after), "quiet on-light", "middle")
        return titled(_said(result), {}, element("rect", {**box, "class": "ground"}), score, *outline)
    change = result.outcome.delta
    number = f"{mark(change)} {points(change.value)}" if change.sign else points(change.value)
    word = text(centre, base, number, _ink(change, limit), "middle")
    return titled(_said(result), {}, *_fill(box, change.value / limit), word, *outline)


def _said(result: Result) -> str:
    name = f"{result.cell.id} on {result.suite.name}"
    if isinstance(result.outcome, Problem):
        return f"{name}: {result.outcome.status}, {result.outcome.why}"
    if isinstance(result.outcome, Level):
        return f"{name}: {percent(result.outcome.after)}"
    change = result.outcome.delta
    scores = f"{percent(result.outcome.before)} to {percent(result.outcome.after)}"
    return f"{name}: {scores}, {points(change.value)} {interval(change)}"


def _ink(change: Estimate, limit: float) -> str:
    """Bold when beyond the interval; light or dark, whichever reads on its ground."""
    dark_from = DARK_FROM["gain" if change.value >= 0 else "loss"]
    return f"{'strong' if change.sign else 'quiet'} {'on-dark' if abs(change.value) / limit >= dark_from else 'on-light'}"


def _fill(box: Attributes, strength: float) -> list[Markup]:
    """A square's ground, and on it its colour; `strength` in [-1, 1]."""
    colour = {**box, "class": "gain" if strength >= 0 else "loss", "fill-opacity": abs(strength)}
    return [element("rect", {**box, "class": "ground"}), element("rect", colour)]


def _hatch(identity: str) -> Markup:
    line = element("path", {"d": "M0 6L6 0", "class": "hatch"})
    pattern: Attributes = {"id": f"{identity}-hatch", "width": 6, "height": 6, "patternUnits": "userSpaceOnUse"}
    return element("defs", {}, element("pattern", pattern, line))


def _legend(top: float, limit: float) -> Markup:
    steps, side = 6, 10.0
    boxes: list[Attributes] = [{"x": LABELS + i * side, "y": top, "width": side, "height": side} for i in range(2 * steps + 1)]
    colours = [piece for i, box in enumerate(boxes) for piece in _fill(box, (i - steps) / steps)]
    end = LABELS + len(boxes) * side
    outlined: Attributes = {"x": end + 22, "y": top, "width": 16, "height": side, "rx": 3, "class": "trained"}
    return element(
        "g",
        {},
        *colours,
        text(LABELS, top + 25, points(-limit), "faint small"),
        text(end, top + 25, points(limit), "faint small", "end"),
        element("rect", outlined),
        text(end + 44, top + 9, "trained domain", "faint small"),
        text(end + 22, top + 25, f"{GAIN} {LOSS}  beyond the interval", "faint small"),
    )
