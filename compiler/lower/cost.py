"""What a training takes, as far as its settings tell: rows, steps, tokens, hours, storage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compiler.backends import Part
from compiler.fitness.demand import row_tokens
from compiler.fitness.memory import HALF, SINGLE, adapter_weights, per_weight
from compiler.fitness.models import Model
from compiler.language.definitions import Algorithm, Hours
from compiler.language.places import Resources
from compiler.plan.plan import Job
from compiler.slurm import hours

SAVED: Mapping[str, int] = {"fetch": HALF, "pretrain": SINGLE, "convert": HALF, "merge": SINGLE, "pick": 0}  # bytes of a weight


@dataclass(frozen=True, slots=True)
class Cost:
    """A training in numbers; None where it cannot be known before the data is there.

    `examples` are the rows of its dataset, `tokens` the most that all its steps can read or write.
    """

    examples: int | None = None
    steps: int | None = None
    steps_an_epoch: int | None = None
    seen: int | None = None
    tokens: int | None = None
    hours: float | None = None
    paced: Paced | None = None


@dataclass(frozen=True, slots=True)
class Paced:
    """Where the table of measured paces says how long a training's step takes, and what it says there, in seconds."""

    algorithm: str
    scale: str
    gpu: str | None
    pace: float | None


def paced(name: str, algorithm: Algorithm, scale: str, resources: Resources | None) -> Paced:
    """The pace of an algorithm at a scale, on the kind of GPU that its class of resources has."""
    gpu, found = resources.gpu if resources else None, algorithm.pace
    at_scale = found.get(scale) if isinstance(found, Mapping) else found
    pace = at_scale.get(gpu or "") if isinstance(at_scale, Mapping) else at_scale
    return Paced(name, scale, gpu, pace)


def planned(pace: Paced, part: Part, examples: int | None, settings: Mapping[str, Any]) -> Cost:
    """The cost of a training on so many rows, whose settings are right."""
    an_epoch = part.epoch(examples, settings) if examples else None
    steps, epochs = _count(settings.get("steps")), settings.get("epochs")
    if steps is None and an_epoch is not None and epochs is not None:
        steps = math.ceil(epochs * an_epoch - 1e-9)
    rows = settings.get("batch_size", 0) * settings.get("batches_per_rollout", 1)  # a correction has no steps of its own
    seen, row = steps * rows if steps else None, row_tokens(settings)
    answers = settings.get("group_size", 1)  # that are sampled for each row
    took = steps * pace.pace / 3600 if steps and pace.pace else None
    return Cost(examples, steps, an_epoch, seen, seen * row * answers if seen and row else None, took, pace)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def mixed(sizes: Sequence[int | None], shares: Sequence[float | None]) -> int | None:
    """How many rows a mix has: all of them, or as many as its shares allow without any part running out."""
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return None
    given = [share for share in shares if share is not None]
    if len(given) < len(shares):
        return sum(known)
    whole = sum(given)
    total = min(size * whole / share for size, share in zip(known, given, strict=True))
    return sum(int(total * share / whole + 1e-9) for share in given)


def part_of(rows: int | None, shard: tuple[int, int] | None) -> int | None:
    """How many rows one of several near-equal parts of a pool has; the first ones take what is left over."""
    if rows is None or shard is None:
        return rows
    index, many = shard
    return rows // many + (index <= rows % many)


def job_cost(cost: Cost | None, resources: Mapping[str, Any]) -> dict[str, Any]:
    """What plan.json says of a job before all jobs are known: GPU-hours at its time limit, and a training's numbers."""
    limit = hours(resources["time"])
    found: dict[str, Any] = {"gpu_hours": _gpus(resources) * limit, "limit_hours": limit}
    if cost is not None:
        table = {"algorithm": cost.paced.algorithm, "scale": cost.paced.scale, "gpu": cost.paced.gpu} if cost.paced else None
        found |= {"examples": cost.examples, "steps": cost.steps, "tokens": cost.tokens, "hours": cost.hours, "paced_as": table}
    return found


def _gpus(resources: Mapping[str, Any]) -> float:
    """GPUs of all nodes."""
    return float(resources["nodes"] * resources["gpus"])


def whole_cost(job: Job, model: Model | None, suite: Hours | None, starts: int) -> dict[str, Any]:
    """A job's cost once all jobs are known: what its checkpoints take, and its GPU-hours as far as its pace is known.

    `suite` are the measured hours of the suite that it measures, if it does; `starts` is how often the job starts.
    """
    took = suite.get(model.name if model else "") if isinstance(suite, Mapping) else suite
    took = job.cost.get("hours") if took is None else took
    limit = float(job.cost["limit_hours"]) * starts  # Slurm ends it then
    within = None if took is None else min(took, limit)
    expected = None if within is None else within * _gpus(job.resources)
    stored = _stored(job, model) if model else None
    worst = limit * _gpus(job.resources)
    return {**job.cost, "gpu_hours": worst, "hours": took, "gpu_hours_expected": expected, "storage": stored}


def _stored(job: Job, model: Model) -> float | None:
    """Bytes of all the checkpoints that a job leaves. What `pick` leaves are links into a training's."""
    if not job.output.startswith("checkpoint."):
        return None
    return _checkpoints(job) * _trained(job, model) if job.kind == "train" else SAVED[job.kind] * model.parameters


def _trained(job: Job, model: Model) -> float:
    """Bytes of one checkpoint of a training. VeRL's shards hold frozen weights and Adam's moments, too."""
    each, rank = per_weight(str(job.settings.get("precision"))), (job.settings.get("adapter") or {}).get("rank")
    adapter = adapter_weights(rank, model.shape) if rank and model.shape else 0.0
    trained = adapter if rank else model.parameters
    if job.output == "checkpoint.shards":
        return each.weight * (model.parameters + adapter) + each.moments * trained
    return each.weight * (adapter if job.output == "checkpoint.adapter" else trained)


def _checkpoints(job: Job) -> int:
    """How many checkpoints a training leaves: its last and those to be kept; VeRL keeps all that it saves, or the last few.

    Each update of a record is as large as one.
    """
    kept: Sequence[int] = job.execution.get("keep") or ()
    every, steps = job.execution.get("save_steps"), job.cost.get("steps")
    if "keep_checkpoints" not in job.execution or not every or not steps:
        return 1 + len(kept) + (steps or 0) * (job.output == "checkpoint.recorded")
    saved = int(-(-steps // every))
    return saved if kept else min(saved, int(job.execution["keep_checkpoints"]))
