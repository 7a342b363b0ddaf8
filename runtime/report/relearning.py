"""How soon what was forgotten comes back: a metric after each measured step of a further training on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from runtime.report.seeds import Mean
from runtime.report.settings import Cell, MetricSuite, Relearned, Settings, Suite
from runtime.report.unlearning import Read, Reading, Role, Row, grouped, row

BACK = 0.9  # of the start's value: from there on, what was forgotten counts as back
SCORE = "score"  # of a suite that has tasks
TELLING = (
    "forget_prob", "forget_rouge", "forget_knowmem_rouge", "forget_verbmem_rouge", "exact_memorization", "extraction_strength",
)  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """One method, or the reference: the rows at each step, 0 being before the training; absent where that is not measured."""

    name: str
    role: Role
    stops: Mapping[int, Row]


@dataclass(frozen=True)
class Relearning:
    """One suite on the further trainings of one start and scale. `goal` is the start's own value, where it is measured."""

    suite: MetricSuite | Suite
    metric: str
    start: str
    scale: str
    goal: Mean | None
    curves: tuple[Curve, ...]

    @property
    def steps(self) -> list[int]:
        return sorted({step for curve in self.curves for step in curve.stops})

    @property
    def readings(self) -> list[Reading]:
        """Those of the further trainings; what stands at step 0 is measured without them."""
        stops = [stop for curve in self.curves for step, stop in curve.stops.items() if step]
        return [reading for stop in stops for reading in stop.readings]

    def at(self, curve: Curve, step: int) -> Mean | None:
        """What a curve has at a step, if it can be told."""
        return curve.stops[step].values.get(self.metric) if step in curve.stops else None

    def back(self, curve: Curve) -> str:
        """After how many steps a curve is at `BACK` of the goal; what is not measured is said."""
        if self.goal is None:
            return "no value of the start"
        known = [(step, value) for step in self.steps if (value := self.at(curve, step)) is not None]
        first = next((step for step, value in known if value.value >= BACK * self.goal.value), None)
        if first is not None:
            return str(first)
        return f"over {known[-1][0]}" if known and known[-1][0] else "missing"


def relearnings(settings: Settings, read: Read) -> tuple[Relearning, ...]:
    """What all further trainings of a study came to, by suite, start and scale."""
    found = []
    suites: tuple[MetricSuite | Suite, ...] = (*settings.metric_suites, *settings.suites)
    for suite in suites:
        for start, scale in dict.fromkeys((c.axes["start"], c.axes["scale"]) for c in settings.cells):
            own = [c for c in settings.cells if (c.axes["start"], c.axes["scale"]) == (start, scale)]
            cells = [cell for cell in own if any(_name(suite) in stop.evaluations for stop in cell.relearned)]
            metric = _telling(suite)
            if cells and metric:
                desk = _Desk(settings, suite, _whole(settings, suite, metric), read)
                found.append(Relearning(suite, metric, start, scale, desk.goal(cells, metric), tuple(desk.curves(cells))))
    return tuple(found)


@dataclass(frozen=True)
class _Desk:
    """What measures further trainings, and what measured the same before them."""

    settings: Settings
    suite: MetricSuite | Suite
    before: MetricSuite | Suite
    read: Read

    def goal(self, cells: Sequence[Cell], metric: str) -> Mean | None:
        """The start's own value."""
        jobs = [job for cell in cells if (job := cell.baseline.get(_name(self.before)))][:1]
        return self._row("start", "start", {"start": jobs[0]}, self.before).values.get(metric) if jobs else None

    def curves(self, cells: Sequence[Cell]) -> Iterator[Curve]:
        """The reference's, then those of the methods."""
        for cell in [cell for cell in cells if cell.reference.relearned][:1]:
            trained = {"reference": (cell.reference.evaluations, cell.reference.relearned)}
            yield self._curve("reference", "reference", trained)
        for name, own in grouped(cells, self.suite).items():
            yield self._curve(name, "method", {cell.id: (cell.evaluations, cell.relearned) for cell in own})

    def _curve(self, name: str, role: Role, trained: Mapping[str, tuple[Mapping[str, str], Sequence[Relearned]]]) -> Curve:
        """What trainings of one kind come to, given by whose they are: measured before, and at each step."""
        jobs: dict[int, dict[str, str]] = {}
        for whose, (before, stops) in trained.items():
            if _name(self.before) in before:
                jobs.setdefault(0, {})[whose] = before[_name(self.before)]
            for stop in (stop for stop in stops if _name(self.suite) in stop.evaluations):
                jobs.setdefault(stop.step, {})[f"{whose} relearned, step {stop.step}"] = stop.evaluations[_name(self.suite)]
        rows = {step: self._row(name, role, own, self.suite if step else self.before) for step, own in jobs.items()}
        return Curve(name, role, rows)

    def _row(self, name: str, role: Role, jobs: Mapping[str, str], suite: MetricSuite | Suite) -> Row:
        return row(name, role, jobs, suite, self.settings, self.read)


def _name(suite: MetricSuite | Suite) -> str:
    """The name by which evaluate jobs are listed."""
    return suite.name if isinstance(suite, MetricSuite) else suite.source


def _telling(suite: MetricSuite | Suite) -> str | None:
    """What tells whether something is back: the first such metric of the suite."""
    if isinstance(suite, Suite):
        return SCORE
    return next((name for name in suite.metrics if name in TELLING), None)


def _whole(settings: Settings, suite: MetricSuite | Suite, metric: str) -> MetricSuite | Suite:
    """The suite that measures the same before the further training: this one, or another of its domain with its metric."""
    measured = {name for cell in settings.cells for name in cell.evaluations}
    if _name(suite) in measured or isinstance(suite, Suite):
        return suite
    alike = [s for s in settings.metric_suites if s.domain == suite.domain and metric in s.metrics and s.name in measured]
    return alike[0] if alike else suite
