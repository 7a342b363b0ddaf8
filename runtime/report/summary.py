"""Builds the whole report, as data, from the scores of a plan: every cell and suite, every method, what is missing and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeVar

from runtime.errors import JobError
from runtime.report import divergence
from runtime.report.compare import Comparison, Outcome, compare, level
from runtime.report.divergence import Divergence, Moved
from runtime.report.metrics import Measurement, MetricScores, load_metrics
from runtime.report.relearning import SCORE, Relearning, relearnings
from runtime.report.results import Problem, Scores, Source, load
from runtime.report.settings import Cell, MetricSuite, Point, Settings, Suite
from runtime.report.statistics import Estimate, correlation, sum_of_independent, weighted_sum
from runtime.report.unlearning import Panel, Reading, panels, untold

Found = TypeVar("Found", Scores, MetricScores, Divergence)

VERDICTS = {
    (1, -1): "learns and forgets",
    (1, 0): "learns, no net loss seen",
    (1, 1): "learns, improves elsewhere",
    (0, -1): "forgets without learning",
    (0, 0): "no change seen",
    (0, 1): "improves only elsewhere",
    (-1, -1): "worse everywhere",
    (-1, 0): "worse where trained",
    (-1, 1): "unlearns, better elsewhere",
}


@dataclass(frozen=True)
class Result:
    """One cell, at its end or at one of its points, on one suite: the jobs of both sides and what came of comparing them.

    `trained` when the suite measures a domain that was trained on by then; `before` is None where the start is not measured.
    """

    cell: Cell
    point: Point | None
    suite: Suite
    trained: bool
    before: str | None
    after: str
    outcome: Outcome

    @property
    def where(self) -> str:
        """The cell's id, with the point where it is not at its end."""
        return f"{self.cell.id} at {self.point.label}" if self.point else self.cell.id


@dataclass(frozen=True)
class Effect:
    """The mean change over `results` cell-suite pairs, each weighing the same."""

    delta: Estimate
    forgetting: float
    backward: float
    results: int


@dataclass(frozen=True)
class Summary:
    """What a method, or one cell, did where it trained and elsewhere. With `found` below `planned` it covers only a part.

    The scores are means after training in [0, 1]; they are there without a baseline, too.
    """

    name: str
    planned: int
    found: int
    trained: Effect | None
    others: Effect | None
    trained_score: float | None
    others_score: float | None
    losses: int  # results on the other suites whose whole interval lies below zero
    gains: int  # and those whose whole interval lies above

    @property
    def partial(self) -> bool:
        return self.found < self.planned

    @property
    def verdict(self) -> str:
        """What the two mean changes amount to, each counted as a change only when beyond its interval."""
        if self.found and self.trained is None and self.others is None:
            return "no baseline, so no change can be told"
        return _verdict(self.trained, self.others)


@dataclass(frozen=True)
class Section:
    """The cells of one start at one scale: they share their baseline, so their numbers may be put side by side.

    `results` are those at the end, by (cell id, suite); a pair that the study does not plan is absent. `along` are those of
    the cells' points. `backward` compares, on the suites of an earlier domain of a sequence, the last point while it was
    trained with the end: what became of it. `summaries` has one for each cell.
    """

    start: str
    scale: str
    cells: tuple[Cell, ...]
    results: Mapping[tuple[str, str], Result]
    along: tuple[Result, ...]
    backward: tuple[Result, ...]
    methods: tuple[Summary, ...]
    summaries: Mapping[str, Summary]

    @property
    def all_results(self) -> list[Result]:
        """Those at the end, then those along the way; `backward` only compares the same scores once more."""
        return [*self.results.values(), *self.along]

    @property
    def compared(self) -> bool:
        """Whether the starts of any of its cells are measured."""
        return any(cell.baseline for cell in self.cells)


@dataclass(frozen=True)
class Measured:
    """How a suite was measured in all scores at hand: more than one value of anything is worth a look."""

    versions: tuple[str, ...]
    prompts: Mapping[str, tuple[str, ...]]
    hardware: tuple[str, ...]
    dtypes: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """Everything the renderers show. `fingerprint` is the report job's: it covers the config and every input of the study.

    `moved` says of every cell and point how far it is from its start, where the study asks; `lineage` what is known of the
    samplings and trainings behind each cell (runtime/lifecycle/lineage.py).
    """

    settings: Settings
    fingerprint: str
    sections: tuple[Section, ...]
    measured: Mapping[str, Measured]
    notes: tuple[str, ...]
    panels: tuple[Panel, ...] = ()
    relearnings: tuple[Relearning, ...] = ()
    moved: tuple[Moved, ...] = ()
    lineage: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)

    @property
    def results(self) -> list[Result]:
        return [result for section in self.sections for result in section.all_results]

    @property
    def readings(self) -> list[Reading]:
        """Every evaluate job of a suite with metrics, and of a relearning, once."""
        of_panels = [reading for panel in self.panels for row in panel.rows for reading in row.readings]
        again = [reading for relearning in self.relearnings for reading in relearning.readings]
        return list({(reading.job, reading.suite.name): reading for reading in (*of_panels, *again)}.values())

    @property
    def compared(self) -> list[Reading]:
        """Those but for the reference's, which is compared with nothing itself."""
        rows = [row for panel in self.panels for row in panel.rows if row.role != "reference"]
        return [reading for row in rows for reading in row.readings]

    @property
    def planned(self) -> list[Result | Reading | Moved]:
        """Whatever should have a number."""
        return [*self.results, *self.readings, *self.moved]

    @property
    def problems(self) -> list[tuple[Result | Reading | Moved, Problem]]:
        return [(result, result.outcome) for result in self.planned if isinstance(result.outcome, Problem)]


def build(
    settings: Settings,
    sources: Mapping[str, Source],
    fingerprint: str,
    explain: Callable[[str], str | None] = lambda job: None,
) -> Report:
    """The report of a study as the store stands. `sources` has every evaluate job; `explain(job)` may name what it waits for.

    Raises JobError when the config names a job that `sources` lacks.
    """
    with_tasks = {suite.source for suite in settings.suites}
    jobs = dict.fromkeys(job for cell in settings.cells for job in cell.jobs(with_tasks))
    loaded = {job: load(_source(job, sources)) for job in jobs}
    desk = _Desk(settings, {job: _explained(job, scores, explain) for job, scores in loaded.items()})
    sections = tuple(_section(key, desk) for key in _section_keys(settings.cells) if with_tasks)
    results = [result for section in sections for result in section.all_results]

    @cache
    def read(job: str, suite: MetricSuite | Suite) -> MetricScores | Problem:
        return _explained(job, _read(_source(job, sources), suite), explain)

    moved = tuple(one for cell in settings.cells for one in _moved(cell, sources, explain))
    lineage = {
        cell.id: _lineage([loaded[job] for job in cell.evaluations.values() if job in loaded]) for cell in settings.cells
    }
    report = Report(
        settings, fingerprint, sections, {}, (), panels(settings, read), relearnings(settings, read), moved, lineage
    )
    measured = {suite.name: _measured(suite, loaded.values()) for suite in settings.suites}
    measured |= {suite.name: _measured_metrics(suite, report.readings) for suite in settings.metric_suites}
    notes = (*_result_notes(results), *untold(report.compared), *_suite_notes(settings, measured))
    return replace(report, measured=measured, notes=notes)


def _read(source: Source, suite: MetricSuite | Suite) -> MetricScores | Problem:
    """The metrics of an evaluate job; of a suite with tasks, its score is the one metric."""
    if isinstance(suite, MetricSuite):
        return load_metrics(source, suite.metrics)
    scores = load(source)
    if isinstance(scores, Problem):
        return scores
    found = level(suite, scores)
    if isinstance(found, Problem):
        return found
    return MetricScores(scores.version, "", scores.dtype, scores.hardware, {SCORE: Measurement(found.after, found.n, "")})


def _moved(cell: Cell, sources: Mapping[str, Source], explain: Callable[[str], str | None]) -> Iterator[Moved]:
    """How far the cell has moved from its start, at its points and at its end."""
    for point in (*cell.points, None):
        for name, job in (point or cell).divergence.items():
            outcome = _explained(job, divergence.load(_source(job, sources)), explain)
            yield Moved(cell, point, Suite(name, cell.trained, cell.trained, name, cell.trained), job, outcome)


def _lineage(loaded: Iterable[Scores | Problem]) -> tuple[Mapping[str, Any], ...]:
    """What the scores of one checkpoint carry, each job once."""
    entries = {str(e["job"]): e for scores in loaded if isinstance(scores, Scores) for e in scores.lineage}
    return tuple(entries.values())


@dataclass(frozen=True)
class _Desk:
    """The scores at hand, or why they are not, by evaluate job, and how to compare them."""

    settings: Settings
    scores: Mapping[str, Scores | Problem]

    def results(self, cell: Cell, point: Point | None) -> Iterator[Result]:
        """A cell, at its end or at a point, on every suite planned there, against its start."""
        evaluations = point.evaluations if point else cell.evaluations
        for suite in self.settings.suites:
            if suite.source in evaluations:
                before, after = cell.baseline.get(suite.source), evaluations[suite.source]
                trained = suite.measures(cell.trained_by(point))
                yield Result(cell, point, suite, trained, before, after, self.outcome(suite, before, after))

    def backward(self, cell: Cell) -> Iterator[Result]:
        """On the suites of each earlier domain of a sequence: from the last point while it was trained to the end."""
        last = {point.domain: point for point in cell.points if point.domain in cell.trained[:-1]}
        for domain, point in last.items():
            for suite in self.settings.suites:
                if domain in suite.domains and suite.source in point.evaluations and suite.source in cell.evaluations:
                    before, after = point.evaluations[suite.source], cell.evaluations[suite.source]
                    yield Result(cell, point, suite, True, before, after, self.outcome(suite, before, after))

    def outcome(self, suite: Suite, before_job: str | None, after_job: str) -> Outcome:
        after = self.scores[after_job]
        if before_job is None:
            return after if isinstance(after, Problem) else level(suite, after)
        before = self.scores[before_job]
        if isinstance(before, Scores) and isinstance(after, Scores):
            return compare(suite, before, after, self.settings.confidence)
        problems = [side for side in (before, after) if isinstance(side, Problem)]
        wrong = any(problem.status == "error" for problem in problems)
        return Problem("error" if wrong else "missing", "; ".join(dict.fromkeys(problem.why for problem in problems)))


def _source(job: str, sources: Mapping[str, Source]) -> Source:
    if job not in sources:
        raise JobError(f"config: names {job!r}, which is no input of the report; compile the study again")
    return sources[job]


def _explained(job: str, scores: Found | Problem, explain: Callable[[str], str | None]) -> Found | Problem:
    if isinstance(scores, Problem) and scores.status == "missing":
        return Problem("missing", explain(job) or scores.why)
    return scores


def _section_keys(cells: Iterable[Cell]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((cell.axes["start"], cell.axes["scale"]) for cell in cells))


def _section(key: tuple[str, str], desk: _Desk) -> Section:
    start, scale = key
    cells = tuple(cell for cell in desk.settings.cells if (cell.axes["start"], cell.axes["scale"]) == key)
    by_cell = {cell.id: list(desk.results(cell, None)) for cell in cells}
    methods = dict.fromkeys(cell.method for cell in cells)
    return Section(
        start=start,
        scale=scale,
        cells=cells,
        results={(name, result.suite.name): result for name, own in by_cell.items() for result in own},
        along=tuple(result for cell in cells for point in cell.points for result in desk.results(cell, point)),
        backward=tuple(result for cell in cells for result in desk.backward(cell)),
        methods=tuple(summarise(m, [r for own in by_cell.values() for r in own if r.cell.method == m]) for m in methods),
        summaries={name: summarise(name, own) for name, own in by_cell.items()},
    )


def summarise(name: str, results: Sequence[Result]) -> Summary:
    """The results at the end of one method in one section, or of one cell, on the trained domains and elsewhere."""
    there = [result for result in results if not isinstance(result.outcome, Problem)]
    trained, others = [r for r in there if r.trained], [r for r in there if not r.trained]
    signs = [r.outcome.delta.sign for r in others if isinstance(r.outcome, Comparison)]
    return Summary(
        name=name,
        planned=len(results),
        found=len(there),
        trained=effect(trained),
        others=effect(others),
        trained_score=_score(trained),
        others_score=_score(others),
        losses=signs.count(-1),
        gains=signs.count(1),
    )


def effect(results: Sequence[Result]) -> Effect | None:
    """The mean over what was compared, None for nothing. Every suite of every cell weighs the same, and within it every task.

    Changes that share a task's items share its noise, so their correlation enters the interval.
    """
    compared = [(result, result.outcome) for result in results if isinstance(result.outcome, Comparison)]
    if not compared:
        return None
    weights = _weights([result for result, _ in compared])
    by_task: dict[tuple[str, tuple[str, ...]], list[tuple[Estimate, float, tuple[float, ...]]]] = {}
    for (_, comparison), weight in zip(compared, weights, strict=True):
        for name, task in comparison.tasks.items():
            part = (task.paired.delta, weight / len(comparison.tasks), task.changes)
            by_task.setdefault((name, task.items), []).append(part)
    return Effect(
        delta=sum_of_independent([_over_shared_items(parts) for parts in by_task.values()]),
        forgetting=sum(weight * comparison.forgetting for (_, comparison), weight in zip(compared, weights, strict=True)),
        backward=sum(weight * comparison.backward for (_, comparison), weight in zip(compared, weights, strict=True)),
        results=len(compared),
    )


def _score(results: Sequence[Result]) -> float | None:
    """The mean score after training, weighed as changes are."""
    scores = [(r, r.outcome.after) for r in results if not isinstance(r.outcome, Problem)]
    weights = _weights([result for result, _ in scores])
    return sum(weight * score for (_, score), weight in zip(scores, weights, strict=True)) if scores else None


def _weights(results: Sequence[Result]) -> list[float]:
    """The share of each column in a mean over suites: those of one suite and cell share its weight by their tasks."""
    tasks: Counter[tuple[str, str]] = Counter()
    for result in results:
        tasks[result.cell.id, result.suite.source] += len(result.suite.tasks)
    return [len(r.suite.tasks) / tasks[r.cell.id, r.suite.source] / len(tasks) for r in results]


def _over_shared_items(parts: Sequence[tuple[Estimate, float, tuple[float, ...]]]) -> Estimate:
    estimates, weights, changes = zip(*parts, strict=True)
    size = range(len(parts))
    correlations = [[1.0 if i == j else correlation(changes[i], changes[j]) for j in size] for i in size]
    return weighted_sum(estimates, weights, correlations)


def _verdict(trained: Effect | None, others: Effect | None) -> str:
    if trained is not None and others is not None:
        return VERDICTS[trained.delta.sign, others.delta.sign]
    if others is not None:
        return ("no change seen", "improves elsewhere", "forgets")[others.delta.sign] + "; no suite of its own domain"
    if trained is not None:
        return ("no change seen", "learns", "worse where trained")[trained.delta.sign] + "; no other suite"
    return "no result yet"


def _measured(suite: Suite, loaded: Iterable[Scores | Problem]) -> Measured:
    own = [scores for scores in loaded if isinstance(scores, Scores) and scores.suite == suite.source]
    return Measured(
        versions=_distinct(scores.version for scores in own),
        prompts={
            task: _distinct(scores.tasks[task].prompt_hash for scores in own if task in scores.tasks) for task in suite.tasks
        },
        hardware=_distinct(scores.hardware for scores in own),
        dtypes=_distinct(scores.dtype for scores in own),
    )


def _measured_metrics(suite: MetricSuite, readings: Iterable[Reading]) -> Measured:
    own = [r.outcome for r in readings if r.suite == suite and not isinstance(r.outcome, Problem)]
    return Measured(
        versions=_distinct(scores.version for scores in own),
        prompts={suite.domain or suite.name: _distinct(scores.prompt_hash for scores in own)},
        hardware=_distinct(scores.hardware for scores in own),
        dtypes=_distinct(scores.dtype for scores in own),
    )


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))


def _result_notes(results: Sequence[Result]) -> list[str]:
    """What a reader should know before trusting a number, each once, with how many results it touches."""
    touched: dict[str, list[Result]] = {}
    for result in results:
        for note in () if isinstance(result.outcome, Problem) else result.outcome.notes:
            touched.setdefault(f"{result.suite.source}: {note}", []).append(result)
    return [f"{note} ({len(where)} results, first {where[0].where})" for note, where in touched.items()]


def _suite_notes(settings: Settings, measured: Mapping[str, Measured]) -> list[str]:
    versions = {suite.source: measured[suite.name].versions for suite in settings.suites}
    versions |= {suite.name: measured[suite.name].versions for suite in settings.metric_suites}
    return [
        f"{name}: measured in versions {', '.join(found)}; cells of different versions do not compare"
        for name, found in versions.items()
        if len(found) > 1
    ]
