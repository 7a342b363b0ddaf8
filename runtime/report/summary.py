"""Builds the whole report, as data, from the scores of a plan: every cell and suite, every method, what is missing and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from runtime.errors import JobError
from runtime.report.compare import Comparison, compare
from runtime.report.results import Problem, Scores, Source, load
from runtime.report.settings import Cell, Settings, Suite
from runtime.report.statistics import Estimate, correlation, sum_of_independent, weighted_sum

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
    """One cell on one suite; `trained` when the suite measures the domain that the cell was trained on."""

    cell: Cell
    suite: Suite
    trained: bool
    outcome: Comparison | Problem


@dataclass(frozen=True)
class Effect:
    """The mean change over `results` cell-suite pairs, each weighing the same."""

    delta: Estimate
    forgetting: float
    backward: float
    results: int


@dataclass(frozen=True)
class MethodSummary:
    """What a method did where it trained and elsewhere. With `found` below `planned` it covers only a part of its cells."""

    method: str
    planned: int
    found: int
    trained: Effect | None
    others: Effect | None
    losses: int  # results on the other suites whose whole interval lies below zero
    gains: int  # and those whose whole interval lies above

    @property
    def partial(self) -> bool:
        return self.found < self.planned

    @property
    def verdict(self) -> str:
        """What the two mean changes amount to, each counted as a change only when beyond its interval."""
        return _verdict(self.trained, self.others)


@dataclass(frozen=True)
class Section:
    """The cells of one start at one scale: they share their baseline, so their numbers may be put side by side."""

    start: str
    scale: str
    cells: tuple[Cell, ...]
    results: Mapping[tuple[str, str], Result]  # by (cell id, suite); a pair that the study does not plan is absent
    methods: tuple[MethodSummary, ...]


@dataclass(frozen=True)
class Measured:
    """How a suite was measured in all scores at hand: more than one value of anything is worth a look."""

    versions: tuple[str, ...]
    prompts: Mapping[str, tuple[str, ...]]
    hardware: tuple[str, ...]
    dtypes: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """Everything the renderers show. `fingerprint` is the report job's: it covers the config and every input of the study."""

    settings: Settings
    fingerprint: str
    sections: tuple[Section, ...]
    measured: Mapping[str, Measured]
    notes: tuple[str, ...]

    @property
    def results(self) -> list[Result]:
        return [result for section in self.sections for result in section.results.values()]

    @property
    def problems(self) -> list[tuple[Result, Problem]]:
        return [(result, result.outcome) for result in self.results if isinstance(result.outcome, Problem)]


def build(
    settings: Settings,
    sources: Mapping[str, Source],
    fingerprint: str,
    explain: Callable[[str], str | None] = lambda job: None,
) -> Report:
    """The report of a study as the store stands. `sources` has every evaluate job; `explain(job)` may name what it waits for.

    Raises JobError when the config names a job that `sources` lacks.
    """
    loaded = {job: load(_source(job, sources)) for job in _jobs(settings.cells)}
    explained = {job: _explained(job, scores, explain) for job, scores in loaded.items()}
    results = [
        Result(cell, suite, suite.domain == cell.domain, _outcome(cell, suite, explained, settings.confidence))
        for cell in settings.cells
        for suite in settings.suites
        if suite.source in cell.evaluations
    ]
    measured = {suite.name: _measured(suite, loaded.values()) for suite in settings.suites}
    sections = tuple(_section(key, settings, results) for key in _section_keys(settings.cells))
    notes = (*_result_notes(results), *_suite_notes(settings, measured))
    return Report(settings, fingerprint, sections, measured, notes)


def _jobs(cells: Iterable[Cell]) -> list[str]:
    """Every evaluate job, once, in order."""
    jobs = (job for cell in cells for suite in cell.evaluations for job in (cell.baseline[suite], cell.evaluations[suite]))
    return list(dict.fromkeys(jobs))


def _source(job: str, sources: Mapping[str, Source]) -> Source:
    if job not in sources:
        raise JobError(f"config: names {job!r}, which is no input of the report; compile the study again")
    return sources[job]


def _explained(job: str, scores: Scores | Problem, explain: Callable[[str], str | None]) -> Scores | Problem:
    if isinstance(scores, Problem) and scores.status == "missing":
        return Problem("missing", explain(job) or scores.why)
    return scores


def _outcome(cell: Cell, suite: Suite, loaded: Mapping[str, Scores | Problem], confidence: float) -> Comparison | Problem:
    before, after = loaded[cell.baseline[suite.source]], loaded[cell.evaluations[suite.source]]
    if isinstance(before, Scores) and isinstance(after, Scores):
        return compare(suite, before, after, confidence)
    problems = [side for side in (before, after) if isinstance(side, Problem)]
    wrong = any(problem.status == "error" for problem in problems)
    return Problem("error" if wrong else "missing", "; ".join(dict.fromkeys(problem.why for problem in problems)))


def _section_keys(cells: Iterable[Cell]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((cell.axes["start"], cell.axes["scale"]) for cell in cells))


def _section(key: tuple[str, str], settings: Settings, results: Sequence[Result]) -> Section:
    start, scale = key
    cells = tuple(cell for cell in settings.cells if (cell.axes["start"], cell.axes["scale"]) == key)
    chosen = {cell.id for cell in cells}
    own = {(result.cell.id, result.suite.name): result for result in results if result.cell.id in chosen}
    methods = dict.fromkeys(cell.method for cell in cells)
    summaries = tuple(summarise(name, [r for r in own.values() if r.cell.method == name]) for name in methods)
    return Section(start, scale, cells, own, summaries)


def summarise(method: str, results: Sequence[Result]) -> MethodSummary:
    """One method's results of one section, on the trained domain and elsewhere."""
    there = [(result, result.outcome) for result in results if isinstance(result.outcome, Comparison)]
    trained = [comparison for result, comparison in there if result.trained]
    others = [comparison for result, comparison in there if not result.trained]
    signs = [comparison.delta.sign for comparison in others]
    return MethodSummary(
        method=method,
        planned=len(results),
        found=len(there),
        trained=effect(trained) if trained else None,
        others=effect(others) if others else None,
        losses=signs.count(-1),
        gains=signs.count(1),
    )


def effect(comparisons: Sequence[Comparison]) -> Effect:
    """The mean over comparisons; those that share a task's items share its noise, so their correlation enters the interval."""
    count = len(comparisons)
    by_task: dict[tuple[str, tuple[str, ...]], list[tuple[Estimate, float, tuple[float, ...]]]] = {}
    for comparison in comparisons:
        weight = 1 / (count * len(comparison.tasks))
        for name, task in comparison.tasks.items():
            by_task.setdefault((name, task.items), []).append((task.paired.delta, weight, task.changes))
    return Effect(
        delta=sum_of_independent([_over_shared_items(parts) for parts in by_task.values()]),
        forgetting=sum(comparison.forgetting for comparison in comparisons) / count,
        backward=sum(comparison.backward for comparison in comparisons) / count,
        results=count,
    )


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


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))


def _result_notes(results: Sequence[Result]) -> list[str]:
    """What a reader should know before trusting a number, each once, with how many results it touches."""
    touched: dict[str, list[Result]] = {}
    for result in results:
        for note in result.outcome.notes if isinstance(result.outcome, Comparison) else ():
            touched.setdefault(f"{result.suite.source}: {note}", []).append(result)
    return [f"{note} ({len(where)} results, first {where[0].cell.id})" for note, where in touched.items()]


def _suite_notes(settings: Settings, measured: Mapping[str, Measured]) -> list[str]:
    versions = {suite.source: measured[suite.name].versions for suite in settings.suites}
    return [
        f"{name}: measured in versions {', '.join(found)}; cells of different versions do not compare"
        for name, found in versions.items()
        if len(found) > 1
    ]
