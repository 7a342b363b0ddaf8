"""Reads the scores of a suite that has metrics: what a model still knows of what it was to forget, and what it keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.report.results import Problem, Source, Unusable, need, read_json, usable


@dataclass(frozen=True)
class Measurement:
    """One metric over `n` items; `value` is None where it cannot be told, for that `reason`."""

    value: float | None
    n: int
    reason: str


@dataclass(frozen=True)
class MetricScores:
    """One such suite on one checkpoint."""

    version: str
    prompt_hash: str
    dtype: str
    hardware: str
    metrics: Mapping[str, Measurement]


def load_metrics(source: Source, wanted: Sequence[str]) -> MetricScores | Problem:
    """The scores of one evaluate job, with all `wanted` metrics, or why they cannot be used."""
    return usable(
        source, lambda: _read(read_json((source.path / "scores.json").read_text(encoding="utf-8"), "scores.json"), wanted)
    )


def _read(scores: Mapping[str, Any], wanted: Sequence[str]) -> MetricScores:
    found = need(scores, "metrics", dict, "scores.json")
    if absent := [name for name in wanted if name not in found]:
        raise Unusable(f"scores.json lacks the metric {absent[0]!r}")
    facts = {name: str(scores.get(name, "")) for name in ("version", "prompt_hash", "dtype", "hardware")}
    return MetricScores(**facts, metrics={name: _measurement(name, found[name]) for name in wanted})


def _measurement(name: str, facts: Any) -> Measurement:
    where = f"scores.json, metric {name!r}"
    value = need(facts, "value", (int, float, type(None)), where)
    if isinstance(value, bool) or (value is not None and not math.isfinite(value)):
        raise Unusable(f"{where}: {value} is no value")
    reason = str(facts.get("reason") or "no reason is given")
    return Measurement(None if value is None else float(value), need(facts, "n", int, where), reason)
