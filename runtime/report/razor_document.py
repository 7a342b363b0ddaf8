"""Learning against forgetting, and forgetting against divergence, as JSON."""

from __future__ import annotations

from typing import Any

from runtime.report.divergence import Divergence, Moved
from runtime.report.razor import PAPER, PUBLISHED, Law, Setting, Sweep
from runtime.report.results import Problem
from runtime.report.seeds import Mean


def sweep(found: Sweep) -> dict[str, Any]:
    """One sweep. Scores lie in [0, 1], changes in [-1, 1], divergences are in nats an answer."""
    return {
        "start": found.start,
        "scale": found.scale,
        "domain": found.domain,
        "settings": [_setting(setting) for setting in found.settings],
        "fronts": {
            method: [setting.name for setting in found.settings if setting.method == method and setting.on_front]
            for method in found.methods
        },
        "laws": {direction: _law(law) for direction, law in found.laws.items()},
    }


def moved(one: Moved) -> dict[str, Any]:
    """How far one checkpoint is from its start."""
    facts = {"suite": one.suite.name, "job": one.job}
    if isinstance(one.outcome, Problem):
        return {"status": one.outcome.status, "why": one.outcome.why, **facts}
    return {"status": "done", **facts, **_divergence(one.outcome)}


def _divergence(found: Divergence) -> dict[str, Any]:
    sides = {
        side: {"per_answer": found.per_answer[side], "per_token": found.per_token[side], "unfinished": found.unfinished[side]}
        for side in found.per_answer
    }
    return {"n": found.n, **sides}


def _setting(setting: Setting) -> dict[str, Any]:
    return {
        "method": setting.method,
        "name": setting.name,
        "on_front": setting.on_front,
        "planned": setting.planned,
        "score": _spread(setting.learned),
        "change_elsewhere": _spread(setting.change),
        **{f"kl_{direction}": _spread(spread) for direction, spread in setting.kl.items()},
        "runs": [
            {"cell": run.cell.id, "seed": run.seed, "score": run.learned, "change_elsewhere": run.change, "kl": dict(run.kl)}
            for run in setting.runs
        ],
    }


def _law(law: Law) -> dict[str, Any]:
    return {
        "degree": 2,
        "coefficients": [law.fit.constant, law.fit.linear, law.fit.square],
        "runs": law.fit.n,
        "r2": law.fit.r2,
        "r2_by_seed": dict(law.by_seed),
        "r2_over_seeds": None if law.r2 is None else _spread(law.r2),
        "rank_correlation": law.spearman,
        "published": {"r2": list(PUBLISHED[law.direction]), "source": PAPER},
    }


def _spread(spread: Mean) -> dict[str, Any]:
    return {"mean": spread.value, "low": spread.low, "high": spread.high, "seeds": spread.n}
