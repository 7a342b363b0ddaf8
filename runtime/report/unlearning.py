"""What unlearning came to, as data: every metric of every method beside those of the start and of the reference model.

Cells that differ in nothing but a seed are one row, with the mean over them and its t interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from runtime.report.metrics import MetricScores
from runtime.report.results import Problem
from runtime.report.seeds import Mean, mean
from runtime.report.settings import Cell, MetricSuite, Settings, Suite
from runtime.report.wording import extras

Role = Literal["reference", "start", "method"]
Read = Callable[[str, MetricSuite | Suite], MetricScores | Problem]

LOGARITHMIC = ("forget_quality", "forget_prob_ks")  # p-values, which go over hundreds of orders of magnitude


@dataclass(frozen=True)
class Reading:
    """One evaluate job: whose checkpoint it is of, and what it says."""

    job: str
    where: str
    suite: MetricSuite | Suite
    outcome: MetricScores | Problem


@dataclass(frozen=True)
class Row:
    """The start, the reference model, or a method's cells that differ in their seeds alone.

    A metric that none of the readings can tell is absent from `values`.
    """

    name: str
    role: Role
    readings: tuple[Reading, ...]
    values: Mapping[str, Mean]

    @property
    def lacking(self) -> list[Problem]:
        return [reading.outcome for reading in self.readings if isinstance(reading.outcome, Problem)]

    @property
    def state(self) -> str:
        """Why there is no number in a row without any."""
        problems = self.lacking
        return "cannot be told" if len(problems) < len(self.readings) else problems[0].status


@dataclass(frozen=True)
class Panel:
    """One suite on the cells of one start at one scale, which may be put side by side. Reference and start come first."""

    suite: MetricSuite
    start: str
    scale: str
    rows: tuple[Row, ...]

    @property
    def methods(self) -> list[Row]:
        return [row for row in self.rows if row.role == "method"]

    def of(self, role: Role) -> Row | None:
        """The one row of the start, or of the reference."""
        return next((row for row in self.rows if row.role == role), None)


def panels(settings: Settings, read: Read) -> tuple[Panel, ...]:
    """A panel for each suite with metrics, each start and each scale."""
    found = []
    for suite in settings.metric_suites:
        for start, scale in dict.fromkeys((c.axes["start"], c.axes["scale"]) for c in settings.cells):
            own = [c for c in settings.cells if (c.axes["start"], c.axes["scale"]) == (start, scale)]
            cells = [cell for cell in own if suite.name in cell.evaluations]
            if cells:
                rows = tuple(_rows(settings, suite, cells, read))
                found.append(Panel(suite, start, scale, rows))
    return tuple(found)


def grouped(cells: Iterable[Cell], suite: MetricSuite | Suite) -> dict[str, list[Cell]]:
    """Cells by what they are called beside each other: their method, and whatever else than a seed tells them apart."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        there = {suite.domain} if isinstance(suite, MetricSuite) else set(suite.domains)
        domain = () if cell.domain in there else (cell.domain,)
        found.setdefault(" ".join([cell.method, *domain, *extras(cell, seeds=False)]), []).append(cell)
    return found


def row(name: str, role: Role, jobs: Mapping[str, str], suite: MetricSuite | Suite, settings: Settings, read: Read) -> Row:
    """The mean of evaluate jobs, which are given by whose they are."""
    readings = tuple(Reading(job, where, suite, read(job, suite)) for where, job in jobs.items())
    return Row(name, role, readings, _means(readings, settings.confidence))


def _rows(settings: Settings, suite: MetricSuite, cells: Sequence[Cell], read: Read) -> Iterator[Row]:
    scale, start = cells[0].axes["scale"], cells[0].axes["start"]
    references = {job: f"reference at {scale}" for c in cells if (job := c.reference.evaluations.get(suite.name))}
    starts = {job: f"start {start} at {scale}" for c in cells if (job := c.baseline.get(suite.name))}
    for name, role, found in (("reference", "reference", references), (start, "start", starts)):
        for number, (job, where) in enumerate(found.items()):
            shown = name if not number else f"{name} {number + 1}"
            yield row(shown, "start" if role == "start" else "reference", {where: job}, suite, settings, read)
    for name, own in grouped(cells, suite).items():
        yield row(name, "method", {cell.id: cell.evaluations[suite.name] for cell in own}, suite, settings, read)


def _means(readings: Sequence[Reading], confidence: float) -> dict[str, Mean]:
    """The mean of each metric over the readings that can tell it."""
    found: dict[str, list[float]] = {}
    for reading in readings:
        for name, measured in ({} if isinstance(reading.outcome, Problem) else reading.outcome.metrics).items():
            if measured.value is not None:
                found.setdefault(name, []).append(measured.value)
    return {name: mean(values, confidence, name in LOGARITHMIC) for name, values in found.items()}


def untold(readings: Iterable[Reading]) -> list[str]:
    """What metrics there are no values of although their jobs are done, each once, with how many results it touches."""
    touched: dict[str, list[Reading]] = {}
    for reading in readings:
        for name, measured in ({} if isinstance(reading.outcome, Problem) else reading.outcome.metrics).items():
            if measured.value is None:
                touched.setdefault(f"{reading.suite.name}: {name} cannot be told: {measured.reason}", []).append(reading)
    return [f"{note} ({len(where)} results, first {where[0].where})" for note, where in touched.items()]
