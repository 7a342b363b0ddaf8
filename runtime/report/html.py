"""The report as one HTML file: no script, no network, the same bytes for the same report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from runtime.report import razor, razor_figures, razor_tables, told
from runtime.report.compare import Level
from runtime.report.forest import forests
from runtime.report.heatmap import heatmap
from runtime.report.marks import COLOURS
from runtime.report.metric_figures import relearning_chart, utility_scatter
from runtime.report.metric_tables import entry
from runtime.report.metric_wording import grouped
from runtime.report.relearning import BACK
from runtime.report.results import Problem
from runtime.report.scatter import scatter
from runtime.report.settings import Cell
from runtime.report.summary import Report, Result, Section
from runtime.report.wording import confidence, interval, mark, own_label, percent, points, printable

STYLES = ("within", "gain", "loss")


@dataclass(frozen=True)
class Figures:
    """A section's drawings; `scatter` is None while there is nothing to place."""

    identity: str
    heatmap: Markup
    scatter: Markup | None
    forests: Sequence[tuple[str, Markup]]


@dataclass(frozen=True)
class Coverage:
    """How many of one section's planned results on one suite are there; those of suites with metrics are told together."""

    section: Section | None
    suite: str
    planned: int
    done: int
    missing: int
    errors: int


def page(report: Report) -> str:
    """The whole file."""
    return _template().render(
        report=report,
        settings=report.settings,
        confidence=confidence(report.settings),
        found=len(report.planned) - len(report.problems),
        panels=[(panel, f"u{i}", utility_scatter(panel, f"u{i}-scatter")) for i, panel in enumerate(report.panels)],
        relearnings=[(again, f"r{i}", relearning_chart(again, f"r{i}-chart")) for i, again in enumerate(report.relearnings)],
        grouped=grouped,
        entry=entry,
        back_share=f"{100 * BACK:g} %",
        drawn=[(section, _figures(report, section, f"s{i}")) for i, section in enumerate(report.sections)],
        coverage=[*_coverage(report), *_measured_coverage(report)],
        rows_of=lambda section: [(cell, _rows(section, cell)) for cell in section.cells],
        with_tasks=any(len(suite.tasks) > 1 for suite in report.settings.suites),
        own_label=own_label,
        is_problem=lambda outcome: isinstance(outcome, Problem),
        is_level=lambda outcome: isinstance(outcome, Level),
        along=_along,
        suites_along=lambda section: _suites_along(report, section),
        compared=any(section.compared for section in report.sections),
        style=lambda estimate: STYLES[estimate.sign],
        by_chance=f"{len(report.results) * (1 - report.settings.confidence):.1f}",
        colours=COLOURS,
        **_learning(report),
        watched=told.watched(report),
        alarms=told.alarms(report),
        samplings=told.samplings(report),
        names=told.names,
    )


def _learning(report: Report) -> dict[str, Any]:
    """What the part on learning and forgetting shows."""
    found = razor.sweeps(report.sections, report.moved, report.settings.confidence)
    level = confidence(report.settings)
    drawn = [(sweep, razor_figures.figures(sweep, f"l{i}", level)) for i, sweep in enumerate(found)]
    return {"razors": drawn, "spread": razor_tables.interval}


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "points": points, "interval": interval, "mark": mark, "name": printable}
    return environment.get_template("report.html.j2")


def _figures(report: Report, section: Section, identity: str) -> Figures:
    return Figures(
        identity=identity,
        heatmap=heatmap(report, section, f"{identity}-heatmap"),
        scatter=scatter(report, section, f"{identity}-scatter"),
        forests=forests(report, section, f"{identity}-forest"),
    )


def _rows(section: Section, cell: Cell) -> list[Result]:
    return [result for (owner, _), result in section.results.items() if owner == cell.id]


@dataclass(frozen=True)
class Journey:
    """A cell's points, by their labels, and its end, each with one result or None for every suite measured at any point."""

    cell: Cell
    stops: Sequence[tuple[str, Sequence[Result | None]]]


def _suites_along(report: Report, section: Section) -> list[str]:
    measured = {result.suite.name for result in section.along}
    return [suite.name for suite in report.settings.suites if suite.name in measured]


def _along(section: Section, suites: Sequence[str]) -> list[Journey]:
    """The cells that have points."""
    return [Journey(cell, list(_stops(section, cell, suites))) for cell in section.cells if cell.points]


def _stops(section: Section, cell: Cell, suites: Sequence[str]) -> Iterator[tuple[str, Sequence[Result | None]]]:
    for point in cell.points:
        here = {result.suite.name: result for result in section.along if result.cell is cell and result.point is point}
        yield point.label, [here.get(suite) for suite in suites]
    yield "end", [section.results.get((cell.id, suite)) for suite in suites]


def _coverage(report: Report) -> list[Coverage]:
    return [
        _covered(section, suite.name, [r for r in section.all_results if r.suite.name == suite.name])
        for section in report.sections
        for suite in report.settings.suites
    ]


def _measured_coverage(report: Report) -> list[Coverage]:
    """The same of suites with metrics, and of relearning."""
    names = dict.fromkeys(reading.suite.name for reading in report.readings)
    states = {name: [_state(r.outcome) for r in report.readings if r.suite.name == name] for name in names}
    return [
        Coverage(None, name, len(own), own.count("done"), own.count("missing"), own.count("error"))
        for name, own in states.items()
    ]


def _state(outcome: object) -> str:
    return outcome.status if isinstance(outcome, Problem) else "done"


def _covered(section: Section, suite: str, results: Sequence[Result]) -> Coverage:
    states = [_state(r.outcome) for r in results]
    return Coverage(section, suite, len(states), states.count("done"), states.count("missing"), states.count("error"))
