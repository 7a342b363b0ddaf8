"""The report as plain text, 100 columns wide, and the same in colour for a terminal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby

from runtime.report import razor_tables, told
from runtime.report.columns import WIDTH, aligned, blocks
from runtime.report.compare import Comparison, Level
from runtime.report.divergence import Moved
from runtime.report.metric_tables import metric_tables
from runtime.report.razor import sweeps
from runtime.report.results import Problem
from runtime.report.statistics import Estimate
from runtime.report.summary import Effect, Report, Result, Section, Summary
from runtime.report.unlearning import Reading
from runtime.report.wording import GAIN, LOSS, confidence, interval, mark, own_label, percent, points, printable, wrapped

MOST_REASONS = 20
TRAINED = "◆"
COLOURS = {GAIN: "\x1b[34m", LOSS: "\x1b[33m", "MISSING": "\x1b[2m", "ERROR": "\x1b[31m"}
COLOURED = re.compile(rf"{GAIN} *[\d.+−]+|{LOSS} *[\d.+−]+|MISSING|ERROR")  # noqa: RUF001  (the minus sign of `points`)


def text(report: Report) -> str:
    """The whole report: a table a section, what lies along the way, what is missing and why, notes, and a verdict a method."""
    parts = [_head(report), *metric_tables(report)]
    parts += [part for section in report.sections for part in _tables(report, section)]
    parts += [part for section in report.sections for part in _along(report, section)]
    parts += [part for section in report.sections for part in _backward(section)]
    found = sweeps(report.sections, report.moved, report.settings.confidence)
    parts += razor_tables.blocks(found, confidence(report.settings))
    parts += [part for part in (*told.lines(report), _problems(report), _notes(report)) if part]
    parts += [_verdicts(report, section) for section in report.sections]
    return "\n\n".join("\n".join(line.rstrip() for line in part) for part in parts) + "\n"


def coloured(plain: str) -> str:
    """`text` for a terminal: gains blue, losses yellow, on top of their symbols."""
    return COLOURED.sub(lambda found: f"{COLOURS.get(found[0]) or COLOURS[found[0][0]]}{found[0]}\x1b[0m", plain)


def _head(report: Report) -> list[str]:
    settings = report.settings
    found, planned = len(report.planned) - len(report.problems), len(report.planned)
    cells, suites = len(settings.cells), len({suite.source for suite in settings.suites}) + len(settings.metric_suites)
    changes = f"change in points ± half its {confidence(settings)} interval: {GAIN}{LOSS} beyond, · within"
    told = changes if any(section.compared for section in report.sections) else "no start is measured, so no change can be told"
    return [
        f"{printable(settings.study)}: {printable(settings.title)}",
        f"{cells} cells x {suites} suites; {found} of {planned} results; plan {report.fingerprint[:12]}",
        *([f"score after in %; {told}; {TRAINED} trained domain"] if report.sections else []),
    ]


def _tables(report: Report, section: Section) -> list[list[str]]:
    """One table, or several below each other when the suites do not fit side by side."""
    labels = aligned([(printable(cell.method), printable(own_label(cell))) for cell in section.cells])
    columns = {
        suite.name: _column(suite.name, [section.results.get((cell.id, suite.name)) for cell in section.cells])
        for suite in report.settings.suites
    }
    return _side_by_side(_title(section), labels, columns)


def _along(report: Report, section: Section) -> list[list[str]]:
    """Each cell's points, and after them its end, on the suites that are measured at any point."""
    found = {(r.cell.id, r.point and r.point.place, r.suite.name): r for r in section.all_results}
    measured = {result.suite.name for result in section.along}
    labels: list[str] = []
    columns: dict[str, list[str]] = {suite.name: [] for suite in report.settings.suites if suite.name in measured}
    for cell in (cell for cell in section.cells if cell.points):
        stops = (*cell.points, None)
        labels += [printable(f"{cell.method} {own_label(cell)}"), *(f"  {printable(p.label if p else 'end')}" for p in stops)]
        for suite, entries in columns.items():
            entries += ["", *(_entry(found.get((cell.id, p and p.place, suite))) for p in stops)]
    heads = {suite: _heading(suite, [r for r in section.along if r.suite.name == suite]) for suite in columns}
    whole = {suite: [*heads[suite], *entries] for suite, entries in columns.items()}
    return _side_by_side(f"along the way, {_title(section)}", labels, whole) if columns else []


def _backward(section: Section) -> list[list[str]]:
    """What became of the earlier domains of each sequence."""
    if not section.backward:
        return []
    heading = ("", "suite", "since", "score", "at the end", "change")
    rows = [heading, *(_backward_row(result) for result in section.backward)]
    return [[f"what became of earlier domains, {_title(section)}", *aligned(rows)]]


def _backward_row(result: Result) -> tuple[str, ...]:
    names = (f"{result.cell.method} {own_label(result.cell)}", result.suite.name, result.point.label if result.point else "")
    outcome = result.outcome
    if isinstance(outcome, Comparison):
        return (*map(printable, names), percent(outcome.before), percent(outcome.after), _change(outcome.delta))
    return (*map(printable, names), outcome.status.upper() if isinstance(outcome, Problem) else "-", "", "")


def _title(section: Section) -> str:
    return f"start {printable(section.start)}, scale {printable(section.scale)}"


def _side_by_side(title: str, labels: Sequence[str], columns: Mapping[str, list[str]]) -> list[list[str]]:
    label_width = max(len("before"), *map(len, labels))
    return [_table(title, labels, label_width, block) for block in blocks(columns, WIDTH - label_width)]


def _table(title: str, labels: Sequence[str], label_width: int, columns: Mapping[str, Sequence[str]]) -> list[str]:
    widths = [max(map(len, rows)) for rows in columns.values()]
    rows = list(zip(*columns.values(), strict=True))
    names = ["", "n", "before", *labels]
    lines = [
        " ".join([f"{name:{label_width}}", *(f"{value:{width}}" for value, width in zip(row, widths, strict=True))])
        for name, row in zip(names, rows, strict=True)
    ]
    rule = "─" * min(WIDTH, max(map(len, lines)))
    return [title, rule, *lines[:3], rule, *lines[3:]]


def _column(suite: str, results: Sequence[Result | None]) -> list[str]:
    """The heading of a suite, and one entry a row; None is not planned."""
    return [*_heading(suite, [result for result in results if result]), *map(_entry, results)]


def _heading(suite: str, results: Sequence[Result]) -> list[str]:
    """A suite's name, its items, and the score of the start."""
    outcomes = [result.outcome for result in results]
    name = printable(suite)
    items = _same([str(outcome.n) for outcome in outcomes if not isinstance(outcome, Problem)])
    before = _same([percent(outcome.before) for outcome in outcomes if isinstance(outcome, Comparison)])
    return [f" {name if len(name) <= 18 else name[:17] + '…'}", f" {items:>5}", f" {before:>5}"]


def _same(values: Sequence[str]) -> str:
    """What all cells share, which is the rule for a baseline; `varies` sends the reader to the HTML, - means no result."""
    return "-" if not values else values[0] if len(set(values)) == 1 else "varies"


def _entry(result: Result | None) -> str:
    if result is None:
        return " not planned"
    flag, outcome = TRAINED if result.trained else " ", result.outcome
    if isinstance(outcome, Problem):
        return f"{flag} {outcome.status.upper()}"
    if isinstance(outcome, Level):
        return f"{flag}{percent(outcome.after):>5}"
    change = outcome.delta
    return f"{flag}{percent(outcome.after):>5} {mark(change)}{points(change.value):>5} ±{percent(change.half_width)}"


def _problems(report: Report) -> list[str]:
    """Every cell and suite without a number, those of one reason together."""
    if not report.problems:
        return []
    lines = [f"without a number: {len(report.problems)} of {len(report.planned)} results"]
    planned = Counter(result.where for result in report.planned)
    ordered = sorted(report.problems, key=lambda pair: (pair[1].status, pair[1].why))
    reasons = [(key, list(group)) for key, group in groupby(ordered, key=lambda pair: (pair[1].status, pair[1].why))]
    for (status, why), group in reasons[:MOST_REASONS]:
        line = f"{status.upper()} {_cells_and_suites([result for result, _ in group], planned)}: {printable(why)}"
        lines += wrapped(line)
    more = len(reasons) - MOST_REASONS
    return [*lines, f"  and {more} reasons more, all in report.html"] if more > 0 else lines


def _cells_and_suites(results: Sequence[Result | Reading | Moved], planned: Mapping[str, int]) -> str:
    """Each cell once, with the suites that it lacks."""
    by_cell: dict[str, list[Result | Reading | Moved]] = {}
    for result in results:
        by_cell.setdefault(result.where, []).append(result)
    return ", ".join(f"{printable(cell)} ({_suites(own, planned[cell])})" for cell, own in by_cell.items())


def _suites(results: Sequence[Result | Reading | Moved], planned: int) -> str:
    return "all suites" if 1 < planned == len(results) else ", ".join(printable(result.suite.name) for result in results)


def _notes(report: Report) -> list[str]:
    lines = [line for note in report.notes for line in wrapped(printable(note))]
    return ["to bear in mind:", *lines] if lines else []


def _verdicts(report: Report, section: Section) -> list[str]:
    """The means of each method; F and BT, in %, are those on the other suites."""
    title = f"verdicts, start {printable(section.start)}, scale {printable(section.scale)}"
    heading = ("", "trained domain", "other suites", "F", "BT", "results", "verdict")
    return [title, *aligned([heading, *map(_verdict, section.methods)])]


def _verdict(summary: Summary) -> tuple[str, ...]:
    others = summary.others
    rates = (percent(others.forgetting), percent(others.backward)) if others else ("-", "-")
    found = f"{summary.found}/{summary.planned}" + (" !" if summary.partial else "")
    changes = _effect(summary.trained, summary.trained_score), _effect(others, summary.others_score)
    return (printable(summary.name), *changes, *rates, found, summary.verdict)


def _effect(effect: Effect | None, score: float | None) -> str:
    """A mean change; where none can be told, the mean score."""
    return _change(effect.delta) if effect else "-" if score is None else percent(score)


def _change(estimate: Estimate) -> str:
    return f"{mark(estimate)}{points(estimate.value):>5} {interval(estimate).replace(', ', ',')}"
