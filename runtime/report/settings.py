"""What a report covers: the config of a report job, as types."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from runtime.errors import JobError
from runtime.report.statistics import LEAST_CONFIDENCE

NEEDED_AXES = ("method", "domain", "start", "scale")


@dataclass(frozen=True)
class Suite:
    """One column of the report: the tasks that it averages, and the training domain that they measure, if any.

    `source` names the suite in the scores and `measured` all tasks that those must have. They differ from `name` and `tasks`
    where a suite of no domain of its own has a task that bears the name of a trained domain: that task is a column of its
    own, `SUITE/TASK`, so that what a cell trained on never counts as elsewhere.
    """

    name: str
    tasks: tuple[str, ...]
    domain: str | None
    source: str
    measured: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One trained model: its point on the axes, and the evaluate jobs of it and of its start, by suite."""

    id: str
    axes: Mapping[str, str]
    evaluations: Mapping[str, str]
    baseline: Mapping[str, str]

    @property
    def method(self) -> str:
        return self.axes["method"]

    @property
    def domain(self) -> str:
        return self.axes["domain"]


@dataclass(frozen=True)
class Settings:
    """The whole config. `confidence` is that of every interval; cells and suites keep the study's order."""

    study: str
    title: str
    axes: tuple[str, ...]
    confidence: float
    suites: tuple[Suite, ...]
    cells: tuple[Cell, ...]


def parse(config: Mapping[str, Any]) -> Settings:
    """Read a report job's config; JobError names the first thing that is missing or contradicts the rest."""
    axes = tuple(_get(config, "axes", list, "config"))
    if absent := [axis for axis in NEEDED_AXES if axis not in axes]:
        raise JobError(f"config: a report needs the axis {absent[0]!r}; its axes are {', '.join(axes)}")
    suites = [_suite(item, f"suites[{i}]") for i, item in enumerate(_get(config, "suites", list, "config"))]
    names = [suite.name for suite in suites]
    cells = tuple(_cell(item, axes, names, f"cells[{i}]") for i, item in enumerate(_get(config, "cells", list, "config")))
    if not suites or not cells:
        raise JobError("config: a report needs at least one suite and one cell")
    return Settings(
        study=_get(config, "study", str, "config"),
        title=_get(config, "title", str, "config"),
        axes=axes,
        confidence=_confidence(config),
        suites=tuple(part for suite in suites for part in _parts(suite, {cell.domain for cell in cells})),
        cells=cells,
    )


def _confidence(config: Mapping[str, Any]) -> float:
    value = _get(config, "confidence", float, "config")
    if not LEAST_CONFIDENCE <= value < 1:
        raise JobError(f"config: confidence is {value}; it must be at least {LEAST_CONFIDENCE} and below 1, for example 0.95")
    return float(value)


def _suite(item: Mapping[str, Any], where: str) -> Suite:
    domain = item.get("domain")
    tasks = tuple(_get(item, "tasks", list, where))
    if not tasks:
        raise JobError(f"{where}: a suite needs at least one task")
    name = _get(item, "name", str, where)
    return Suite(name, tasks, None if domain is None else str(domain), source=name, measured=tasks)


def _parts(suite: Suite, domains: Collection[str]) -> list[Suite]:
    """The suite itself, or the tasks of it that are trained domains one by one, and then the rest of it."""
    own = [task for task in suite.tasks if task in domains] if suite.domain is None else []
    rest = tuple(task for task in suite.tasks if task not in own)
    parts = [replace(suite, name=f"{suite.name}/{task}", tasks=(task,), domain=task) for task in own]
    return [*parts, replace(suite, tasks=rest)] if rest else parts


def _cell(item: Mapping[str, Any], axes: tuple[str, ...], suites: list[str], where: str) -> Cell:
    evaluations, baseline = (_get(item, key, dict, where) for key in ("evaluations", "baseline"))
    for suite in evaluations:
        if suite not in suites:
            raise JobError(f"{where}: evaluates suite {suite!r}, which the report does not list; it lists {', '.join(suites)}")
        if suite not in baseline:
            raise JobError(f"{where}: has no baseline of suite {suite!r}, so there is nothing to compare it with")
    return Cell(
        id=_get(item, "id", str, where),
        axes={axis: _get(item, axis, str, where) for axis in axes},
        evaluations=evaluations,
        baseline=baseline,
    )


def _get(item: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    if key not in item:
        raise JobError(f"{where}: lacks {key!r}; compile the study again")
    if not isinstance(item[key], kind):
        raise JobError(f"{where}: {key!r} is {item[key]!r}, which is no {kind.__name__}; compile the study again")
    return item[key]
