"""The report: the last job, which compares all scores of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compiler.diagnostics import nearest
from compiler.language.definitions import Suite
from compiler.language.source import Tree
from compiler.lower.context import Column, Context
from compiler.lower.relearning import Relearned
from compiler.lower.workshop import Request
from compiler.plan.plan import Job, PlannedCell, PlannedPoint
from compiler.plan.sharing import evaluations


def report(context: Context, cells: Sequence[PlannedCell], again: Mapping[str, Relearned | None]) -> Job:
    """The table at the end. It runs with what there is, and marks what is missing. `again` is each cell's relearning."""
    study = context.study
    asked = context.tree.at(("study",))
    told = [_cell(context, cell, again[cell.id]) for cell in cells]
    named = {job for cell in cells for job in evaluations(cell)} | set(_of_references(told))
    scores = {job.id: job for job in context.workshop.jobs.values() if job.id in named}
    names = dict.fromkeys(column for cell in cells for after in _measured(cell) for column in after)
    settings = {
        "study": study.study, "title": study.about, "axes": list(cells[0].axes), "confidence": study.evaluate.confidence,
        "suites": [_suite(context, context.columns[name]) for name in names], "cells": told,
    }  # fmt: skip
    return context.workshop.make(
        Request(
            id=f"report/{study.study}", kind="report", backend="native", what="report", resources="cpu",
            settings=Tree(asked.file, settings, {(): asked}).labelled("the study"), inputs=scores, whose="report", asked=asked,
            inputs_required=False,
        )
    )  # fmt: skip


def _measured(cell: PlannedCell) -> Iterable[Mapping[str, str]]:
    """What a cell is measured on at its end, and when it has learned again."""
    return (cell.after, *(point.after for point in cell.relearned))


def _cell(context: Context, cell: PlannedCell, again: Relearned | None) -> dict[str, Any]:
    points = [
        {"label": p.label, "domain": p.domain, "step": p.step, "evaluations": dict(p.after), **_moved(p.divergence)}
        for p in cell.points
    ]
    told = {
        "id": cell.id, **cell.axes, "evaluations": cell.after, "baseline": cell.before,
        "trained": context.once(("listed", cell.trained), lambda: list(cell.trained)), "points": points,
        **_moved(cell.divergence),
    }  # fmt: skip
    reference = _reference(context, cell, again.reference if again else ())
    return {
        **told,
        **({"reference": reference} if any(reference.values()) else {}),
        **({"relearned": _relearned(cell.relearned)} if cell.relearned else {}),
    }


def _reference(context: Context, cell: PlannedCell, again: Sequence[PlannedPoint]) -> dict[str, Any]:
    """The scores that a cell's are compared with, and their model's relearning."""
    read = {column: context.workshop.jobs[job].inputs for column, job in cell.after.items()}
    jobs = {column: edge.job for column, edges in read.items() for edge in edges if edge.name == "reference"}
    return {"evaluations": jobs, "relearned": _relearned(again)}


def _relearned(points: Sequence[PlannedPoint]) -> list[dict[str, Any]]:
    return [{"step": point.step, "evaluations": dict(point.after)} for point in points]


def _of_references(cells: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """The evaluate jobs of all references, which no cell counts as its own."""
    for reference in (cell["reference"] for cell in cells if "reference" in cell):
        yield from reference["evaluations"].values()
        for point in reference["relearned"]:
            yield from point["evaluations"].values()


def _moved(divergence: Mapping[str, str]) -> dict[str, Any]:
    return {"divergence": dict(divergence)} if divergence else {}


def _suite(context: Context, column: Column) -> dict[str, Any]:
    """A column: the suite's metrics; or its tasks, and which of them measure what a domain trains."""
    suite = column.found
    domains = [column.own] if column.own else list(suite.domains)
    domain = domains[0] if len(domains) == 1 else None
    if "metrics" in suite.settings:
        return {"name": column.name, "tasks": [], "metrics": list(suite.settings["metrics"]), "domain": domain}
    _check_held_out(context, column.suite, suite)
    tasks = domains or list(suite.settings.get("tasks", []))
    held_out = {task: [d for d, named in suite.held_out.items() if task in named] for task in tasks}
    held_out = {task: found for task, found in held_out.items() if found}
    return {"name": column.name, "tasks": tasks, "domain": domain, "held_out": held_out}


def _check_held_out(context: Context, name: str, suite: Suite) -> None:
    """Tasks that a suite has not would be held out of nothing."""
    tasks = list(suite.settings.get("tasks", suite.domains))
    for domain, held_out in suite.held_out.items():
        for number, task in enumerate(held_out):
            if task not in tasks:
                at = context.catalog.at("suites", name, ("held_out", domain, number))
                context.wrong(at, f"suite '{name}' has no task '{task}' to hold out", nearest(task, tasks))
