"""A line of a generated file as a function of data: what it is rendered from, and how to render it again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from compiler import backends
from compiler.diagnostics import Position
from compiler.language.places import Cluster, Installation, Limits, Restarts
from compiler.language.study import Tracking
from compiler.lower.sources import Sources
from compiler.output import emit
from compiler.output.arrays import Array, grouped
from compiler.plan.plan import Edge, Job, Plan, PlannedCell, PlannedPoint, as_data

HOW_RUN = ("settings", "execution")
JOB_FIELDS: Mapping[str, Sequence[str]] = {
    "config": (*HOW_RUN, "id", "kind", "cell"),
    "script": (*HOW_RUN, "resources", "id", "output", "inputs", "fingerprint"),
    "contract": ("id", "kind", "cell", "code", "output", "inputs", "fingerprint", "execution", "environment", "lock"),
    "submit_all.sh": ("id", "inputs", "fingerprint", "execution", "after"),
    "array": ("resources",),
    "PLAN.md": ("id", "inputs", "fingerprint", "resources", "cost"),
    "plan.json": (
        *HOW_RUN, "resources", "id", "kind", "backend", "what", "cell", "inputs", "output", "code", "environment", "cost",
        "fingerprint", "lock", "after",
    ),
}  # fmt: skip
PLAN_FIELDS: Mapping[str, Sequence[str]] = {
    "script": ("study", "store"),
    "contract": ("study",),
    "submit_all.sh": ("study", "executor", "store", "jobs", "gate"),
    "array": ("study", "store"),
    "feed.sh": ("study",),
    "PLAN.md": ("study", "about", "spec", "cluster", "warnings", "rules", "axes", "cells", "jobs"),
    "plan.json": ("study", "about", "spec", "cluster", "executor", "store", "warnings", "rules", "axes", "gate"),
}
CLUSTER_FIELDS: Mapping[str, Sequence[str]] = {
    "script": ("account", "gpu_request", "restarts"), "submit_all.sh": ("kill_on_invalid_dep", "limits", "arrays"),
    "array": ("account", "gpu_request", "restarts"), "feed.sh": ("account",),
}  # fmt: skip
COUNTED = ("cells", "jobs")  # of these, how many there are


@dataclass(frozen=True)
class Scene:
    """All that the files of a study are rendered from, and of it the job and the cell that a line is about."""

    plan: Plan
    cluster: Cluster
    tracking: Tracking
    sources: Mapping[str, Sources]
    job: Job | None = None
    cell: PlannedCell | None = None
    array: Array | None = None


@dataclass(frozen=True)
class Piece:
    """One line: the data it may depend on, the text that it is line `index` of (from 0), and that text's templates."""

    scene: Scene
    data: Mapping[str, Any]
    render: Callable[[Any], str]
    index: int
    templates: tuple[str, ...]


def pieces(scene: Scene, path: str, text: str, index: int) -> list[Piece]:
    """What line `index` of the file `path` (below the study's folder) depends on: a piece for each job that it may be about."""
    kind, lines = kind_of(path), text.splitlines()
    if kind == "plan.json":
        return [_in_plan(scene, lines, index)]
    jobs: list[Job | None] = [*_jobs_of(scene.plan, kind, path, lines[index])]
    if kind == "array":
        array = next(
            found for found in grouped(scene.plan.jobs, scene.cluster.arrays).arrays if path == f"arrays/{found.name}.sh"
        )
        return [_piece(replace(scene, job=array.first, array=array), kind, path, index)]
    cell = next((cell for cell in scene.plan.cells if f"- {cell.id}" == lines[index]), None)
    return [_piece(replace(scene, job=job, cell=cell), kind, path, index) for job in jobs or [None]]


def kind_of(path: str) -> str:
    """What sort of generated file it is."""
    if path.startswith("configs/"):
        return "config"
    if path.startswith("jobs/"):
        return "script" if path.endswith(".sh") else "contract"
    if path.startswith("arrays/"):
        return "array"
    return path


def _jobs_of(plan: Plan, kind: str, path: str, line: str) -> list[Job]:
    """The jobs that a line is about; of the jobs of a kind, one for each way to run them."""
    if kind in ("config", "script", "contract"):
        return [job for job in plan.jobs if _end(job, path) in ("yaml", "json", "sh", *_part_of(job).more)]
    words = line.replace("|", " ").split()
    named = [job for job in plan.jobs if (words[:1] in ([job.id], [job.name]) and job.kind == "train") or job.id in words[:2]]
    alike = {json.dumps([job.kind, job.resources]): job for job in reversed(plan.jobs)}
    return named or [job for job in plan.jobs if job in alike.values() and line.startswith(f"| {job.kind} |")]


def _end(job: Job, path: str) -> str | None:
    """What stands behind the job's name in a file's; None for a file of another job."""
    name = path.partition("/")[2]
    return name[len(job.id) + 1 :] if name.startswith(f"{job.id}.") else None


def _part_of(job: Job) -> backends.Part:
    return backends.part(job.backend, job.what, Position(job.id))


def _piece(scene: Scene, kind: str, path: str, index: int) -> Piece:
    data, job = _data(scene, kind), scene.job
    sources = scene.sources.get(job.id) if job else None

    end = (_end(job, path) if job else None) or "yaml"

    def config(now: Scene) -> str:
        laid = emit.laid_out(_of(now.job))
        return laid.more[end] if end in laid.more else laid.text(sources)

    renders: Mapping[str, Callable[[Scene], str]] = {
        "config": config,
        "script": lambda now: emit.script(now.plan, _of(now.job), now.cluster, now.tracking, config(now)),
        "contract": lambda now: emit.contract_text(now.plan, _of(now.job)),
        "submit_all.sh": lambda now: emit.submit_all(now.plan, now.cluster),
        "array": _array_script,
        "feed.sh": lambda now: emit.feed(now.plan, now.cluster),
        "PLAN.md": lambda now: emit.plan_page(now.plan),
    }
    render = renders[kind]
    return Piece(scene, data, lambda data: render(_again(scene, data)), index, _templates(kind, job, end))


def _array_script(now: Scene) -> str:
    if now.array is None:
        raise ValueError("this file is an array's")
    job = _of(now.job)
    script = emit.script(now.plan, job, now.cluster, now.tracking, emit.config_text(job))
    return emit.array_script(now.plan, now.array, script)


def _of(job: Job | None) -> Job:
    if job is None:
        raise ValueError("this file is a job's")
    return job


def _templates(kind: str, job: Job | None, end: str) -> tuple[str, ...]:
    """The templates that a file comes from, below `templates/`."""
    if job is None or kind in ("submit_all.sh", "PLAN.md", "feed.sh"):
        return (f"{kind}.j2",)
    if kind == "array":
        return ("array.sh.j2",)
    part = _part_of(job)
    found = {"config": (part.more.get(end, part.config).name,), "script": ("job.sh.j2", part.launch.name)}.get(kind, ())
    return tuple(name for name in found if name)


# ---- plan.json ------------------------------------------------------------------------------------------------------


def _in_plan(scene: Scene, lines: Sequence[str], index: int) -> Piece:
    """A line of plan.json: of one job, of one cell, or of what else a plan says."""
    for section in COUNTED:
        start, end = _section(lines, section)
        if start < index < end:
            begun = max(number for number in range(start, index + 1) if lines[number] == "  {")
            number = lines[start:begun].count("  {")
            return _item(scene, section, number, index - begun)
    shift = sum(end - start for start, end in (_section(lines, section) for section in COUNTED) if end <= index)

    def render(data: Any) -> str:
        return replace(_again(scene, data).plan, cells=(), jobs=()).text()

    return Piece(scene, _data(scene, "plan.json"), render, index - shift, ())


def _section(lines: Sequence[str], name: str) -> tuple[int, int]:
    """The first and the last line of a list at the top of plan.json."""
    start = lines.index(f' "{name}": [')
    return start, next(number for number in range(start, len(lines)) if lines[number] in (" ],", " ]"))


def _item(scene: Scene, section: str, number: int, index: int) -> Piece:
    """A line of the text of one job or one cell."""
    is_job = section == "jobs"
    at = replace(scene, job=scene.plan.jobs[number]) if is_job else replace(scene, cell=scene.plan.cells[number])
    data = {name: value for name, value in _data(at, "plan.json").items() if name == ("job" if is_job else "cell")}

    def render(data: Any) -> str:
        now = _again(at, data)
        made = as_data(_with_config(now.job, at.job or now.job)) if now.job else asdict(now.plan.cells[number])
        return json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False)

    return Piece(at, data, render, index, ())


def _with_config(job: Job, like: Job) -> Job:
    """The job with the config that it comes to in the backend of `like`, as the fingerprint sees it."""
    part = backends.part(like.backend, like.what, Position(job.id))
    return replace(job, config=part.decisive_config(job.settings, job.execution))


# ---- data, and back -------------------------------------------------------------------------------------------------


def _data(scene: Scene, kind: str) -> dict[str, Any]:
    """What a file of this kind is rendered from, as plain data."""
    plan, cluster = json.loads(json.dumps(asdict(replace(scene.plan, cells=(), jobs=())))), scene.cluster.model_dump()
    plan.update(cells=len(scene.plan.cells), jobs=len(scene.plan.jobs))
    data: dict[str, Any] = {"plan": {name: plan[name] for name in PLAN_FIELDS.get(kind, ())}}
    if scene.job:
        job = json.loads(json.dumps(asdict(scene.job)))
        data["job"] = {name: job[name] for name in JOB_FIELDS[kind]}
    if scene.cell:
        data["cell"] = json.loads(json.dumps(asdict(scene.cell)))
    data["cluster"] = {name: cluster[name] for name in CLUSTER_FIELDS.get(kind, ())}
    if kind == "script" and scene.job:
        data["environment"] = cluster["environments"][scene.job.environment]
        data["tracking"] = scene.tracking.model_dump()
    return data


def _again(scene: Scene, data: Mapping[str, Any]) -> Scene:
    """The scene with what `data` says in place of its own."""
    job = _job(scene.job, data["job"]) if scene.job and "job" in data else scene.job
    cell = _cell(scene.cell, data["cell"]) if scene.cell and "cell" in data else scene.cell
    plan = _plan(scene, data.get("plan", {}), job, cell)
    tracking = Tracking.model_construct(**data["tracking"]) if "tracking" in data else scene.tracking
    return Scene(plan, _cluster(scene, data), tracking, scene.sources, job, cell, scene.array)


def _job(job: Job, data: Mapping[str, Any]) -> Job:
    edges = tuple(Edge(**edge) for edge in data["inputs"]) if "inputs" in data else job.inputs
    return replace(job, **{**data, "inputs": edges, "after": tuple(data.get("after", job.after))})


def _cell(cell: PlannedCell, data: Mapping[str, Any]) -> PlannedCell:
    return replace(cell, **{**data, "points": tuple(PlannedPoint(**point) for point in data["points"])})


def _plan(scene: Scene, data: Mapping[str, Any], job: Job | None, cell: PlannedCell | None) -> Plan:
    """The plan with other fields: where an axis has another value, the cells of the old one have it, too."""
    plan = scene.plan
    jobs = tuple(job if job and found is scene.job else found for found in plan.jobs)
    cells = tuple(cell if cell and found is scene.cell else found for found in plan.cells)
    if "axes" in data and data["axes"] != plan.axes:
        new = {(axis, old): name for axis in plan.axes for old, name in zip(plan.axes[axis], data["axes"][axis], strict=True)}
        cells = tuple(replace(c, axes={axis: new[axis, value] for axis, value in c.axes.items()}) for c in cells)
    many = {"cells": _as_many(cells, data.get("cells")), "jobs": _as_many(jobs, data.get("jobs"))}
    return replace(plan, **{**{name: value for name, value in data.items() if name not in COUNTED}, **many})


def _as_many(items: tuple[Any, ...], number: int | None) -> tuple[Any, ...]:
    return items if number is None else (items * 3)[:number]


def _cluster(scene: Scene, data: Mapping[str, Any]) -> Cluster:
    own = dict(data.get("cluster", {}))
    if "limits" in own:
        own["limits"] = Limits.model_construct(**own["limits"])
    if "restarts" in own:
        own["restarts"] = Restarts.model_construct(**own["restarts"])
    if own.get("arrays") and scene.cluster.arrays:  # which jobs are in an array is no part of one line
        own["arrays"] = scene.cluster.arrays.model_copy(update={"at_once": own["arrays"]["at_once"]})
    if scene.job and "environment" in data:
        changed = {scene.job.environment: Installation.model_construct(**data["environment"])}
        own["environments"] = {**scene.cluster.environments, **changed}
    return scene.cluster.model_copy(update=own)
