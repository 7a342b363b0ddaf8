"""Unlearning as JSON: every metric of every row, at full precision."""

from __future__ import annotations

from typing import Any

from runtime.report.relearning import BACK, Curve, Relearning
from runtime.report.results import Problem
from runtime.report.seeds import Mean
from runtime.report.summary import Report
from runtime.report.unlearning import Panel, Reading, Row


def metrics_document(report: Report) -> dict[str, Any]:
    """What a report has of suites with metrics; nothing where there are none. `low` and `high` are null for one seed."""
    found = {
        "unlearning": [_panel(panel) for panel in report.panels],
        "relearning": [_relearning(relearning) for relearning in report.relearnings],
    }
    return {name: items for name, items in found.items() if items}


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "suite": panel.suite.name,
        "domain": panel.suite.domain,
        "start": panel.start,
        "scale": panel.scale,
        "metrics": list(panel.suite.metrics),
        "rows": [_row(row) for row in panel.rows],
    }


def _row(row: Row) -> dict[str, Any]:
    means = {name: _mean(mean) for name, mean in row.values.items()}
    return {"name": row.name, "role": row.role, "metrics": means, "results": [_reading(reading) for reading in row.readings]}


def _reading(reading: Reading) -> dict[str, Any]:
    facts = {"job": reading.job, "of": reading.where}
    if isinstance(reading.outcome, Problem):
        return {**facts, "status": reading.outcome.status, "why": reading.outcome.why}
    values = {name: {"value": m.value, "n": m.n} for name, m in reading.outcome.metrics.items()}
    return {**facts, "status": "done", "metrics": values}


def _mean(mean: Mean) -> dict[str, Any]:
    return {"mean": mean.value, "low": mean.low, "high": mean.high, "n": mean.n}


def _relearning(relearning: Relearning) -> dict[str, Any]:
    return {
        "suite": relearning.suite.name,
        "metric": relearning.metric,
        "start": relearning.start,
        "scale": relearning.scale,
        "goal": _mean(relearning.goal) if relearning.goal else None,
        "back_at": BACK,
        "curves": [_curve(relearning, curve) for curve in relearning.curves],
    }


def _curve(relearning: Relearning, curve: Curve) -> dict[str, Any]:
    stops = [{"step": step, **_row(curve.stops[step])} for step in relearning.steps if step in curve.stops]
    return {"name": curve.name, "role": curve.role, "back_after": relearning.back(curve), "stops": stops}
