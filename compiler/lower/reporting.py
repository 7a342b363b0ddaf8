"""The report: the last job, which compares all scores of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compiler.diagnostics import nearest
from compiler.language.definitions import Suite
from compiler.language.source import Tree
from compiler.lower.context import Column, Context
from compiler.lower.workshop import Request
from compiler.plan.plan import Job, PlannedCell
from compiler.plan.sharing import evaluations


def report(context: Context, cells: Sequence[PlannedCell]) -> Job:
    """The table at the end. It runs with what there is, and marks what is missing."""
    study = context.study
    asked = context.tree.at(("study",))
    named = {job for cell in cells for job in evaluations(cell)}
    scores = {job.id: job for job in context.workshop.unique_jobs() if job.id in named}
    names = dict.fromkeys(column for cell in cells for column in cell.after)
    settings = {
        "study": study.study, "title": study.about, "axes": list(cells[0].axes), "confidence": study.evaluate.confidence,
        "suites": [_suite(context, context.columns[name]) for name in names], "cells": [_cell(cell) for cell in cells],
    }  # fmt: skip
    return context.workshop.make(
        Request(
            id=f"report/{study.study}", kind="report", backend="native", what="report", resources="cpu",
            settings=Tree(asked.file, settings, {(): asked}).labelled("the study"), inputs=scores, whose="report", asked=asked,
            inputs_required=False,
        )
    )  # fmt: skip


def _cell(cell: PlannedCell) -> dict[str, Any]:
    points = [
        {"label": p.label, "domain": p.domain, "step": p.step, "evaluations": dict(p.after), **_moved(p.divergence)}
        for p in cell.points
    ]
    return {
        "id": cell.id, **cell.axes, "evaluations": dict(cell.after), "baseline": dict(cell.before),
        "trained": list(cell.trained), "points": points, **_moved(cell.divergence),
    }  # fmt: skip


def _moved(divergence: Mapping[str, str]) -> dict[str, Any]:
    return {"divergence": dict(divergence)} if divergence else {}


def _suite(context: Context, column: Column) -> dict[str, Any]:
    """A column: the suite's tasks, and which of them measure what a domain trains."""
    suite = column.found
    _check_held_out(context, column.suite, suite)
    domains = [column.own] if column.own else list(suite.domains)
    tasks = domains or list(suite.settings.get("tasks", []))
    held_out = {task: [d for d, named in suite.held_out.items() if task in named] for task in tasks}
    held_out = {task: found for task, found in held_out.items() if found}
    return {"name": column.name, "tasks": tasks, "domain": domains[0] if len(domains) == 1 else None, "held_out": held_out}


def _check_held_out(context: Context, name: str, suite: Suite) -> None:
    """Tasks that a suite has not would be held out of nothing."""
    tasks = list(suite.settings.get("tasks", suite.domains))
    for domain, held_out in suite.held_out.items():
        for number, task in enumerate(held_out):
            if task not in tasks:
                at = context.catalog.at("suites", name, ("held_out", domain, number))
                context.wrong(at, f"suite '{name}' has no task '{task}' to hold out", nearest(task, tasks))
