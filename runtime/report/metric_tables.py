"""Unlearning as plain text: a table of metrics for each suite, start and scale, and one of relearning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from runtime.report.columns import WIDTH, blocks
from runtime.report.metric_wording import grouped, told
from runtime.report.relearning import BACK, Curve, Relearning
from runtime.report.summary import Report
from runtime.report.unlearning import Panel, Row
from runtime.report.wording import confidence, percent, printable


def metric_tables(report: Report) -> list[list[str]]:
    """The blocks of all panels, then those of all relearnings."""
    found = [block for panel in report.panels for block in _panel(report, panel)]
    return found + [block for relearning in report.relearnings for block in _relearning(relearning)]


def _panel(report: Report, panel: Panel) -> Iterator[list[str]]:
    seeds = max(len(row.readings) for row in panel.rows)
    over = f"; mean of {seeds} seeds with its t interval, {confidence(report.settings)}" if seeds > 1 else ""
    title = f"unlearning, {printable(panel.suite.name)}, start {printable(panel.start)}, scale {printable(panel.scale)}{over}"
    names = [_called(row) for row in panel.rows]
    for group, metrics in grouped(panel.suite.metrics):
        columns = {metric: [printable(metric), *(entry(row, metric) for row in panel.rows)] for metric in metrics}
        yield from _tables(f"{title}: {group.title.lower()}", names, columns)


def _called(row: Row) -> str:
    return printable(row.name) + ("" if row.role == "method" else " (target)" if row.role == "reference" else " (start)")


def entry(row: Row, metric: str) -> str:
    """A row's value, or why there is none; with fewer seeds than planned it says so."""
    found = row.values.get(metric)
    if found is None:
        return row.state.upper() if row.lacking else "-"
    return told(metric, found) + (f" ({found.n} of {len(row.readings)})" if found.n < len(row.readings) else "")


def _relearning(relearning: Relearning) -> Iterator[list[str]]:
    goal = relearning.goal
    back = (
        f"back: at {percent(BACK)} % of the start's {told(relearning.metric, goal)}"
        if goal
        else "no value of the start is there"
    )
    where = f"{printable(relearning.suite.name)}, start {printable(relearning.start)}, scale {printable(relearning.scale)}"
    title = f"relearning, {where}\n{relearning.metric} after steps of training on what was forgotten; {back}"
    columns = {str(step): [f"step {step}" if step else "before"] for step in relearning.steps}
    for step in relearning.steps:
        columns[str(step)] += [_stop(curve, step, relearning.metric) for curve in relearning.curves]
    columns["back"] = ["back after", *(relearning.back(curve) for curve in relearning.curves)]
    yield from _tables(title, [printable(curve.name) for curve in relearning.curves], columns)


def _stop(curve: Curve, step: int, metric: str) -> str:
    return entry(curve.stops[step], metric) if step in curve.stops else "-"


def _tables(title: str, names: Sequence[str], columns: Mapping[str, list[str]]) -> Iterator[list[str]]:
    """One table, or several below each other where the columns do not fit side by side."""
    width = max(map(len, names))
    for block in blocks(dict(columns), WIDTH - width):
        widths = [max(map(len, column)) for column in block.values()]
        rows = zip(*block.values(), strict=True)
        lines = [
            " ".join([f"{name:{width}}", *(f"{value:>{size}}" for value, size in zip(row, widths, strict=True))])
            for name, row in zip(["", *names], rows, strict=True)
        ]
        rule = "─" * min(WIDTH, max(map(len, lines)))
        yield [title, rule, lines[0], rule, *lines[1:]]
