"""The report as JSON: every number at full precision, for other programs."""

from __future__ import annotations

from typing import Any

from runtime.report.compare import Comparison, TaskChange
from runtime.report.results import Problem
from runtime.report.statistics import Estimate
from runtime.report.summary import Effect, Measured, MethodSummary, Report, Result, Section


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
        "planned": len(report.results),
        "found": len(report.results) - len(report.problems),
        "suites": [
            {
                "name": suite.name,
                "suite": suite.source,
                "domain": suite.domain,
                "tasks": list(suite.tasks),
                **_measured(report.measured[suite.name]),
            }
            for suite in settings.suites
        ],
        "sections": [_section(section) for section in report.sections],
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


def _section(section: Section) -> dict[str, Any]:
    return {
        "start": section.start,
        "scale": section.scale,
        "methods": [_method(summary) for summary in section.methods],
        "cells": [
            {
                "id": cell.id,
                "axes": dict(cell.axes),
                "results": {suite: _result(r) for (owner, suite), r in section.results.items() if owner == cell.id},
            }
            for cell in section.cells
        ],
    }


def _method(summary: MethodSummary) -> dict[str, Any]:
    return {
        "method": summary.method,
        "planned": summary.planned,
        "found": summary.found,
        "trained_domain": _effect(summary.trained),
        "other_suites": _effect(summary.others),
        "losses_beyond_interval": summary.losses,
        "gains_beyond_interval": summary.gains,
        "verdict": summary.verdict,
    }


def _effect(effect: Effect | None) -> dict[str, Any] | None:
    if effect is None:
        return None
    numbers = {"forgetting": effect.forgetting, "backward_transfer": effect.backward, "results": effect.results}
    return {**_estimate(effect.delta), **numbers}


def _result(result: Result) -> dict[str, Any]:
    source = result.suite.source
    jobs = {"before_job": result.cell.baseline[source], "after_job": result.cell.evaluations[source]}
    if isinstance(result.outcome, Problem):
        return {"status": result.outcome.status, "why": result.outcome.why, "trained": result.trained, **jobs}
    return {"status": "done", "trained": result.trained, **jobs, **_comparison(result.outcome)}


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


def _problem(result: Result, problem: Problem) -> dict[str, str]:
    return {"cell": result.cell.id, "suite": result.suite.name, "status": problem.status, "why": problem.why}
