"""The report as JSON: every number at full precision, for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtime.report import razor_document, told
from runtime.report.compare import Comparison, Level, TaskChange
from runtime.report.divergence import Moved
from runtime.report.metric_document import metrics_document
from runtime.report.razor import sweeps
from runtime.report.results import Problem
from runtime.report.settings import Cell, Point
from runtime.report.statistics import Estimate
from runtime.report.summary import Effect, Measured, Report, Result, Section, Summary
from runtime.report.unlearning import Reading


def document(report: Report) -> dict[str, Any]:
    """Shares lie in [0, 1], changes in [-1, 1]; `beyond` is 1, -1 or 0 as the interval lies above, below or across zero."""
    settings = report.settings
    return {
        "lethe": 1,
        "study": settings.study,
        "title": settings.title,
        "fingerprint": report.fingerprint,
        "confidence": settings.confidence,
        "interval": "Bonett and Price (2012), combined by MOVER (Zou and Donner, 2008)",
        "complete": not report.problems,
        "planned": len(report.planned),
        "found": len(report.planned) - len(report.problems),
        "suites": [
            {
                "name": suite.name,
                "suite": suite.source,
                "domains": list(suite.domains),
                "tasks": list(suite.tasks),
                **_measured(report.measured[suite.name]),
            }
            for suite in settings.suites
        ],
        "sections": [_section(section, report.moved) for section in report.sections],
        "sweeps": [razor_document.sweep(found) for found in sweeps(report.sections, report.moved, settings.confidence)],
        **told.as_json(report),
        **metrics_document(report),
        "problems": [_problem(result, problem) for result, problem in report.problems],
        "notes": list(report.notes),
    }


def _measured(measured: Measured) -> dict[str, Any]:
    return {
        "versions": list(measured.versions),
        "prompt_hashes": {task: list(hashes) for task, hashes in measured.prompts.items()},
        "hardware": list(measured.hardware),
        "dtypes": list(measured.dtypes),
    }


def _section(section: Section, moved: Sequence[Moved]) -> dict[str, Any]:
    return {
        "start": section.start,
        "scale": section.scale,
        "methods": [{"method": summary.name, **_summary(summary), **_counts(summary)} for summary in section.methods],
        "cells": [_cell(cell, section, [one for one in moved if one.cell.id == cell.id]) for cell in section.cells],
    }


def _cell(cell: Cell, section: Section, moved: Sequence[Moved]) -> dict[str, Any]:
    """One cell: its results at the end, what they come to, those along the way, and what became of its earlier domains."""
    along = [result for result in section.along if result.cell.id == cell.id]
    return {
        "id": cell.id,
        "axes": dict(cell.axes),
        "trained": list(cell.trained),
        **_summary(section.summaries[cell.id]),
        "results": {suite: _result(r) for (owner, suite), r in section.results.items() if owner == cell.id},
        **_divergence(moved, None),
        "points": [
            {**_point(point, [r for r in along if r.point is point]), **_divergence(moved, point)} for point in cell.points
        ],
        "backward_changes": [_backward(r) for r in section.backward if r.cell.id == cell.id],
    }


def _point(point: Point, results: Sequence[Result]) -> dict[str, Any]:
    facts = {"label": point.label, "domain": point.domain, "step": point.step}
    return {**facts, "results": {result.suite.name: _result(result) for result in results}}


def _divergence(moved: Sequence[Moved], point: Point | None) -> dict[str, Any]:
    """How far the cell is from its start there; nothing where the study does not ask."""
    here = next((one for one in moved if one.point is point), None)
    return {} if here is None else {"divergence": razor_document.moved(here)}


def _backward(result: Result) -> dict[str, Any]:
    """From the last point while `domain` was trained (`since`) to the cell's end."""
    point = result.point
    return {"domain": point and point.domain, "since": point and point.label, "suite": result.suite.name, **_result(result)}


def _summary(summary: Summary) -> dict[str, Any]:
    return {
        "trained_domain": _effect(summary.trained),
        "other_suites": _effect(summary.others),
        "scores": {"trained_domain": summary.trained_score, "other_suites": summary.others_score},
        "verdict": summary.verdict,
    }


def _counts(summary: Summary) -> dict[str, int]:
    return {
        "planned": summary.planned,
        "found": summary.found,
        "losses_beyond_interval": summary.losses,
        "gains_beyond_interval": summary.gains,
    }


def _effect(effect: Effect | None) -> dict[str, Any] | None:
    if effect is None:
        return None
    numbers = {"forgetting": effect.forgetting, "backward_transfer": effect.backward, "results": effect.results}
    return {**_estimate(effect.delta), **numbers}


def _result(result: Result) -> dict[str, Any]:
    facts = {"trained": result.trained, "before_job": result.before, "after_job": result.after}
    if isinstance(result.outcome, Problem):
        return {"status": result.outcome.status, "why": result.outcome.why, **facts}
    if isinstance(result.outcome, Level):
        return {"status": "done", **facts, **_level(result.outcome)}
    return {"status": "done", **facts, **_comparison(result.outcome)}


def _level(outcome: Level) -> dict[str, Any]:
    """A score with nothing before it, and so without a change."""
    tasks = {name: {"n": t.n, "after": t.after, "unfinished": [None, t.unfinished]} for name, t in outcome.tasks.items()}
    return {"n": outcome.n, "after": outcome.after, "tasks": tasks}


def _comparison(outcome: Comparison) -> dict[str, Any]:
    return {
        "n": outcome.n,
        "before": outcome.before,
        "after": outcome.after,
        **_estimate(outcome.delta),
        "forgetting": outcome.forgetting,
        "backward_transfer": outcome.backward,
        "tasks": {name: _task(task) for name, task in outcome.tasks.items()},
    }


def _task(task: TaskChange) -> dict[str, Any]:
    pair = task.paired
    return {
        "n": pair.n,
        "before": pair.before,
        "after": pair.after,
        **_estimate(pair.delta),
        "forgetting": pair.forgetting,
        "backward_transfer": pair.backward,
        "unfinished": [task.unfinished_before, task.unfinished_after],
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {"delta": estimate.value, "low": estimate.low, "high": estimate.high, "beyond": estimate.sign}


def _problem(result: Result | Reading | Moved, problem: Problem) -> dict[str, str]:
    if isinstance(result, Reading):
        return {"cell": result.where, "suite": result.suite.name, "status": problem.status, "why": problem.why}
    at = {"point": result.point.label} if result.point else {}
    return {"cell": result.cell.id, **at, "suite": result.suite.name, "status": problem.status, "why": problem.why}
