"""What a report covers: the config of a report job, as types."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.errors import JobError
from runtime.report.statistics import LEAST_CONFIDENCE

NEEDED_AXES = ("method", "domain", "start", "scale")


@dataclass(frozen=True)
class Suite:
    """One column of the report: the tasks that it averages, and the trained domains that they measure.

    `source` names the suite in the scores and `measured` all tasks that those must have. They differ from `name` and `tasks`
    where only some tasks of a suite measure what a cell of the study trains: because they bear a trained domain's name in a
    suite of no domain of its own, or because the suite holds them out for that domain. Those are a column of their own,
    `SUITE/DOMAIN`, so that what a cell trained on never counts as elsewhere.
    """

    name: str
    tasks: tuple[str, ...]
    domains: tuple[str, ...]
    source: str
    measured: tuple[str, ...]

    def measures(self, trained: Collection[str]) -> bool:
        """Whether the column measures one of the domains `trained`, and so is no part of their forgetting profile."""
        return any(domain in trained for domain in self.domains)


@dataclass(frozen=True)
class MetricSuite:
    """A suite on what was to be forgotten: metrics, each with a value of its own, in place of tasks.

    `domain` is the forget set that it measures.
    """

    name: str
    metrics: tuple[str, ...]
    domain: str | None


@dataclass(frozen=True)
class Relearned:
    """A checkpoint of a further training on what was to be forgotten, with its evaluate jobs by suite."""

    step: int
    evaluations: Mapping[str, str]


@dataclass(frozen=True)
class Reference:
    """The model that never saw what is to be forgotten: its evaluate jobs by suite, and its training on the same rows."""

    evaluations: Mapping[str, str]
    relearned: tuple[Relearned, ...]


NO_REFERENCE = Reference({}, ())


@dataclass(frozen=True)
class Point:
    """An intermediate checkpoint of a cell, or the end of an earlier domain of its sequence, with its evaluate jobs by suite.

    `place` is its own among the cell's points, `domain` the one being trained there, `step` that of its training; the last two
    may be unknown. Several points may share a label, where a sequence comes back to a domain.
    """

    place: int
    label: str
    domain: str | None
    step: int | None
    evaluations: Mapping[str, str]
    divergence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One trained model: its point on the axes, and the evaluate jobs of it and of its start, by suite.

    `trained` are the domains with rows of their own that it trained on, in their order: several for a sequence or a mix. An
    empty `baseline` means that the start was not measured, so that no change can be told. `points` stand in training order.
    `divergence` has the job that tells how far it moved from its start, by suite; empty where the study does not ask.
    `relearned` are checkpoints of a further training, in the order of steps.
    """

    id: str
    axes: Mapping[str, str]
    trained: tuple[str, ...]
    evaluations: Mapping[str, str]
    baseline: Mapping[str, str]
    points: tuple[Point, ...]
    reference: Reference = NO_REFERENCE
    relearned: tuple[Relearned, ...] = ()
    divergence: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return self.axes["method"]

    @property
    def domain(self) -> str:
        return self.axes["domain"]

    def trained_by(self, point: Point | None) -> tuple[str, ...]:
        """The domains trained on up to `point`; all of them at the end, and where they are trained on together."""
        if point is None or point.domain not in self.trained:
            return self.trained
        so_far = [self.trained.index(p.domain) for p in self.points[: point.place + 1] if p.domain in self.trained]
        return self.trained[: max(so_far) + 1]

    def jobs(self, suites: Collection[str]) -> Iterator[str]:
        """Every evaluate job that the cell names on some suites, but for those of references and relearning."""
        for measured in (self.baseline, *(point.evaluations for point in self.points), self.evaluations):
            yield from (job for suite, job in measured.items() if suite in suites)


@dataclass(frozen=True)
class Settings:
    """The whole config. `confidence` is that of every interval; cells and suites keep the study's order.

    `suites` have tasks, which are compared before and after; `metric_suites` have metrics.
    """

    study: str
    title: str
    axes: tuple[str, ...]
    confidence: float
    suites: tuple[Suite, ...]
    cells: tuple[Cell, ...]
    metric_suites: tuple[MetricSuite, ...] = ()


def parse(config: Mapping[str, Any]) -> Settings:
    """Read a report job's config; JobError names the first thing that is missing or contradicts the rest."""
    axes = tuple(_get(config, "axes", list, "config"))
    if absent := [axis for axis in NEEDED_AXES if axis not in axes]:
        raise JobError(f"config: a report needs the axis {absent[0]!r}; its axes are {', '.join(axes)}")
    suites = _get(config, "suites", list, "config")
    names = [_suite_name(item, f"suites[{i}]") for i, item in enumerate(suites)]
    cells = tuple(_cell(item, axes, names, f"cells[{i}]") for i, item in enumerate(_get(config, "cells", list, "config")))
    if not suites or not cells:
        raise JobError("config: a report needs at least one suite and one cell")
    trained = list(dict.fromkeys(domain for cell in cells for domain in cell.trained))
    with_tasks = [(item, f"suites[{i}]") for i, item in enumerate(suites) if "metrics" not in item]
    return Settings(
        study=_get(config, "study", str, "config"),
        title=_get(config, "title", str, "config"),
        axes=axes,
        confidence=_confidence(config),
        suites=tuple(column for item, where in with_tasks for column in _columns(item, trained, where)),
        cells=cells,
        metric_suites=tuple(_metric_suite(item, f"suites[{i}]") for i, item in enumerate(suites) if "metrics" in item),
    )


def _confidence(config: Mapping[str, Any]) -> float:
    value = _get(config, "confidence", float, "config")
    if not LEAST_CONFIDENCE <= value < 1:
        raise JobError(f"config: confidence is {value}; it must be at least {LEAST_CONFIDENCE} and below 1, for example 0.95")
    return float(value)


def _suite_name(item: Mapping[str, Any], where: str) -> str:
    if not _get(item, "metrics" if "metrics" in item else "tasks", list, where):
        raise JobError(f"{where}: a suite needs at least one task, or one metric")
    return str(_get(item, "name", str, where))


def _metric_suite(item: Mapping[str, Any], where: str) -> MetricSuite:
    domain = item.get("domain")
    return MetricSuite(_suite_name(item, where), tuple(item["metrics"]), None if domain is None else str(domain))


def _columns(item: Mapping[str, Any], trained: Sequence[str], where: str) -> list[Suite]:
    """A suite as columns: the tasks that measure trained domains, those of the same domains together, then the rest."""
    name, tasks = _suite_name(item, where), tuple(item["tasks"])
    held_out = item.get("held_out", {})
    if absent := [task for task in held_out if task not in tasks]:
        raise JobError(f"{where}: holds out the task {absent[0]!r}, which it lacks; its tasks are {', '.join(tasks)}")
    whole = () if item.get("domain") is None else (str(item["domain"]),)
    groups: dict[tuple[str, ...], list[str]] = {}
    for task in tasks:
        named = () if whole else (task,)
        own = [domain for domain in trained if domain in (*named, *held_out.get(task, ())) and domain not in whole]
        groups.setdefault((*whole, *own), []).append(task)
    rest = groups.pop(whole, None)
    parts = [Suite(f"{name}/{'+'.join(own)}", tuple(group), own, name, tasks) for own, group in groups.items()]
    return [*parts, Suite(name, tuple(rest), whole, name, tasks)] if rest else parts


def _cell(item: Mapping[str, Any], axes: tuple[str, ...], suites: list[str], where: str) -> Cell:
    baseline = _get(item, "baseline", dict, where)
    points = tuple(_point(found, i, f"{where}.points[{i}]") for i, found in enumerate(item.get("points", [])))
    evaluations = _get(item, "evaluations", dict, where)
    reference = _reference(item.get("reference"), f"{where}.reference")
    relearned = _relearned(item.get("relearned", []), f"{where}.relearned")
    further = [reference.evaluations, *(r.evaluations for r in (*relearned, *reference.relearned))]
    _check_listed(suites, [suite for planned in further for suite in planned], where)
    for suite in dict.fromkeys(suite for planned in (evaluations, *(p.evaluations for p in points)) for suite in planned):
        _check_listed(suites, [suite], where)
        if baseline and suite not in baseline:
            raise JobError(f"{where}: has no baseline of suite {suite!r}, so there is nothing to compare it with")
    return Cell(
        id=_get(item, "id", str, where),
        axes={axis: _get(item, axis, str, where) for axis in axes},
        trained=tuple(_get(item, "trained", list, where)),
        evaluations=evaluations,
        baseline=baseline,
        points=points,
        reference=reference,
        relearned=relearned,
        divergence=item.get("divergence", {}),
    )


def _check_listed(listed: Sequence[str], named: Sequence[str], where: str) -> None:
    for suite in named:
        if suite not in listed:
            raise JobError(f"{where}: evaluates suite {suite!r}, which the report does not list; it lists {', '.join(listed)}")


def _reference(item: Mapping[str, Any] | None, where: str) -> Reference:
    if item is None:
        return NO_REFERENCE
    return Reference(_get(item, "evaluations", dict, where), _relearned(_get(item, "relearned", list, where), where))


def _relearned(items: Sequence[Mapping[str, Any]], where: str) -> tuple[Relearned, ...]:
    return tuple(Relearned(_get(item, "step", int, where), _get(item, "evaluations", dict, where)) for item in items)


def _point(item: Mapping[str, Any], place: int, where: str) -> Point:
    label, evaluations = _get(item, "label", str, where), _get(item, "evaluations", dict, where)
    return Point(place, label, item.get("domain"), item.get("step"), evaluations, item.get("divergence", {}))


def _get(item: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    if key not in item:
        raise JobError(f"{where}: lacks {key!r}; compile the study again")
    if not isinstance(item[key], kind):
        raise JobError(f"{where}: {key!r} is {item[key]!r}, which is no {kind.__name__}; compile the study again")
    return item[key]
