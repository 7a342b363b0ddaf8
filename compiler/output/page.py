"""PLAN.md: the plan for people who read a pull request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compiler.fitness.memory import GB
from compiler.plan.plan import SHORT, Job, Plan, PlannedCell
from compiler.slurm import shown_size

MOST_INPUTS = 6  # of a job, that are named
MOST_TABLES = 12  # beyond, a list of the cells says more than tables do


def content(plan: Plan) -> dict[str, Any]:
    """What the template shows."""
    kinds = [_kind_row(kind, [job for job in plan.jobs if job.kind == kind]) for kind in _kinds(plan)]
    suites = list(dict.fromkeys(suite for cell in plan.cells for suite in cell.after))
    tables = _tables(plan)
    points = sum(len(cell.points) + len(cell.relearned) for cell in plan.cells)
    stored = sum(float(job.cost["storage"] or 0) for job in plan.jobs)
    return {
        "plan": plan, "kinds": kinds, "gpu_hours": sum(map(_worst, plan.jobs)), "expected": sum(map(_expected, plan.jobs)),
        "suites": suites, "points": points, "storage": shown_size(stored) if stored else None,
        "tables": tables if len(tables) <= MOST_TABLES else [], "baselines": any(cell.before for cell in plan.cells),
        "jobs": [(job.id, job.fingerprint[:SHORT], _needs(job)) for job in plan.jobs],
        "trainings": [_training_row(job) for job in plan.jobs if job.cost.get("steps")],
    }  # fmt: skip


def _needs(job: Job) -> str:
    """What a job reads, or of how many jobs."""
    return ", ".join(edge.job for edge in job.inputs) if len(job.inputs) <= MOST_INPUTS else f"{len(job.inputs)} jobs"


def _tables(plan: Plan) -> list[dict[str, Any]]:
    """Methods against domains, one table for each combination of the other axes' values."""
    groups: dict[tuple[tuple[str, str], ...], list[PlannedCell]] = {}
    for cell in plan.cells:
        rest = tuple((axis, value) for axis, value in cell.axes.items() if axis not in ("method", "domain"))
        groups.setdefault(rest, []).append(cell)
    return [_table(plan, dict(rest), cells) for rest, cells in groups.items()]


def _table(plan: Plan, rest: Mapping[str, str], cells: Sequence[PlannedCell]) -> dict[str, Any]:
    there = {(cell.axes["method"], cell.axes["domain"]) for cell in cells}
    methods = [method for method in plan.axes["method"] if any(method == one for one, _ in there)]
    domains = [domain for domain in plan.axes["domain"] if any(domain == one for _, one in there)]
    rows = [(method, ["yes" if (method, domain) in there else "-" for domain in domains]) for method in methods]
    return {"title": ", ".join(f"{axis} {value}" for axis, value in rest.items()), "columns": domains, "rows": rows}


def _training_row(job: Job) -> dict[str, Any]:
    known = {name: job.cost.get(name) for name in ("examples", "steps", "tokens", "hours")}
    return {"job": job.name, **known, "memory": _memory(job), "limit": float(job.cost["limit_hours"])}


def _memory(job: Job) -> str | None:
    """What a training likely takes of each of its GPUs, in GB of 10^9 bytes."""
    taken = job.cost.get("gpu_memory")
    if taken is None or not job.resources["gpus"]:
        return None
    return "under 1 GB" if taken < GB else f"{float(taken) / GB:.0f} GB"


def _kinds(plan: Plan) -> list[str]:
    return list(dict.fromkeys(job.kind for job in plan.jobs))


def _kind_row(kind: str, jobs: Sequence[Job]) -> dict[str, Any]:
    asked = sorted({_resources(job.resources) for job in jobs})
    known = sum(job.cost.get("hours") is not None for job in jobs)
    hours = {"gpu_hours": sum(map(_worst, jobs)), "expected": sum(map(_expected, jobs)) if known else None}
    return {"kind": kind, "jobs": len(jobs), "resources": "; ".join(asked), **hours}


def _worst(job: Job) -> float:
    """GPU-hours at a job's time limit."""
    return float(job.cost["gpu_hours"])


def _expected(job: Job) -> float:
    """GPU-hours at the measured pace; at the time limit where nothing was measured."""
    known = job.cost.get("gpu_hours_expected")
    return _worst(job) if known is None else float(known)


def _resources(asked: Mapping[str, Any]) -> str:
    gpus = f"{asked['gpus']} x {asked['gpu'] or 'GPU'}, " if asked["gpus"] else ""
    nodes = f"{asked['nodes']} nodes, each with " if asked["nodes"] > 1 else ""
    return f"{nodes}{gpus}{asked['cpus']} CPU, {asked['mem']}, {asked['time']}"
