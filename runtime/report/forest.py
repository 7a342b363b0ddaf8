"""The forest plots of a section: one panel a method, every change with its interval, on one common axis."""

from __future__ import annotations

from markupsafe import Markup

from runtime.report.compare import Comparison, Level
from runtime.report.results import Problem
from runtime.report.statistics import Estimate
from runtime.report.summary import Report, Result, Section
from runtime.report.svg import Attributes, Scale, drawing, element, text, ticks, titled
from runtime.report.wording import confidence, interval, own_label, percent, points

WIDTH, LABELS, RIGHT, NUMBERS = 372.0, 84.0, 246.0, 370.0
TOP, HEADING, ROW, FOOT = 10.0, 22.0, 17.0, 26.0


def forests(report: Report, section: Section, identity: str) -> list[tuple[str, Markup]]:
    """A method's name and its panel, for each method; nothing where the start is not measured."""
    axis = _axis(section)
    methods = [summary.name for summary in section.methods] if section.compared else []
    return [(name, _panel(report, section, name, axis, f"{identity}-{i}")) for i, name in enumerate(methods)]


def _axis(section: Section) -> list[float]:
    """Ticks that span every interval of the section, and zero."""
    there = [r.outcome.delta for r in section.results.values() if isinstance(r.outcome, Comparison)]
    return ticks(min([-0.05, *(d.low for d in there)]), max([0.05, *(d.high for d in there)]), about=3)


def _panel(report: Report, section: Section, method: str, axis: list[float], identity: str) -> Markup:
    scale = Scale(axis[0], axis[-1], LABELS, RIGHT)
    rows: list[Markup] = []
    top = TOP
    for cell in section.cells:
        if cell.method == method:
            rows.append(text(0, top + 15, f"trained on {own_label(cell)}", "strong small"))
            top += HEADING
            own = [result for (owner, _), result in section.results.items() if owner == cell.id]
            rows += [_row(result, top + i * ROW, scale) for i, result in enumerate(own)]
            top += ROW * len(own) + 4
    title = f"{method}: change in points with its {confidence(report.settings)} interval on every suite"
    return drawing(WIDTH, top + FOOT, title, identity, _grid(axis, scale, top), *rows)


def _grid(axis: list[float], scale: Scale, bottom: float) -> Markup:
    lines = [_upright(scale(v), bottom, "zero" if v == 0 else "grid") for v in axis]
    names = [text(scale(v), bottom + 15, points(v).removesuffix(".0"), "faint small", "middle") for v in axis]
    return element("g", {}, *lines, *names)


def _upright(x: float, bottom: float, style: str) -> Markup:
    return element("line", {"x1": x, "x2": x, "y1": TOP, "y2": bottom, "class": style})


def _row(result: Result, top: float, scale: Scale) -> Markup:
    middle = top + ROW / 2
    suite = result.suite.name if len(result.suite.name) <= 13 else result.suite.name[:12] + "…"
    label = text(LABELS - 10, middle + 4, suite, "small " + ("strong" if result.trained else "faint"), "end")
    if isinstance(result.outcome, Level):
        return titled(result.cell.id, {}, label, text(NUMBERS, middle + 4, percent(result.outcome.after), "small faint", "end"))
    if isinstance(result.outcome, Problem):
        word = text(RIGHT + 8, middle + 4, result.outcome.status, f"small {result.outcome.status}-word")
        return titled(f"{result.cell.id} on {result.suite.name}: {result.outcome.why}", {}, label, word)
    change = result.outcome.delta
    style = ("within", "gain", "loss")[change.sign]
    numbers = f"{points(change.value)} {interval(change)}"
    written = text(NUMBERS, middle + 4, numbers, "small" if change.sign else "small faint", "end")
    said = f"{result.cell.id} on {result.suite.name}: {numbers}, {result.outcome.n} items"
    return titled(said, {}, label, *_whisker(change, middle, scale, style, result.trained), written)


def _whisker(change: Estimate, middle: float, scale: Scale, style: str, trained: bool) -> list[Markup]:
    x = scale(change.value)
    ends: Attributes = {"x1": scale(change.low), "x2": scale(change.high), "y1": middle, "y2": middle}
    if trained:
        point = element("path", {"d": f"M{x:.1f} {middle - 5:.1f}l5 5l-5 5l-5 -5z", "class": style})
    else:
        point = element("circle", {"cx": x, "cy": middle, "r": 3.2, "class": style})
    return [element("line", {**ends, "class": f"whisker {style}-line"}), point]
