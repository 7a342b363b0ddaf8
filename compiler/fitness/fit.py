"""What lowering asks of this room: what each job takes of memory, and whether the plan fits its cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from compiler.diagnostics import Diagnostic, SpecError
from compiler.fitness.demand import Need, need
from compiler.fitness.limits import Place, beyond_gpus, beyond_limits, beyond_node, beyond_quota, gpu_memory
from compiler.fitness.models import Model
from compiler.fitness.remarks import Remark
from compiler.plan.plan import Job


class Unfit(SpecError):
    """The plan is right, and too large for its cluster."""


@dataclass(frozen=True)
class Fitness:
    """What each job takes of memory, by its id, what is wrong, and what may be."""

    memory: Mapping[str, Mapping[str, float | None]]
    wrong: tuple[Diagnostic, ...]
    remarks: tuple[Remark, ...]


def fit(place: Place, jobs: Sequence[Job], models: Mapping[str, Model], stored: float) -> Fitness:
    """Hold every job against the cluster that it would run on. All their checkpoints take so many bytes, `stored`."""
    taken = {job.id: _need(place, job, models) for job in jobs}
    found = [said for job in jobs for said in _said(place, job, models.get(job.id), taken[job.id])]
    wrong = (*beyond_limits(place, jobs), *beyond_quota(place, stored), *(d for d in found if isinstance(d, Diagnostic)))
    known: dict[tuple[float | None, ...], dict[str, float | None]] = {}  # equal ones are one object
    memory = ((job.id, _memory(job, taken[job.id])) for job in jobs)
    said = {name: known.setdefault(tuple(one.values()), one) for name, one in memory}
    return Fitness(said, wrong, tuple(remark for remark in found if isinstance(remark, Remark)))


def _said(place: Place, job: Job, model: Model | None, taken: Need | None) -> Iterator[Diagnostic | Remark]:
    if model is not None and taken is not None:
        yield from beyond_gpus(place, job, model, taken)
        yield from beyond_node(place, job, model, taken)


def _need(place: Place, job: Job, models: Mapping[str, Model]) -> Need | None:
    teacher = next((models.get(edge.job) for edge in job.inputs if edge.name == "teacher"), None)
    return need(job, models[job.id], gpu_memory(place.cluster, job), teacher) if job.id in models else None


def _memory(job: Job, taken: Need | None) -> dict[str, float | None]:
    """What a job takes, as its cost says it: bytes on each GPU, where there are GPUs, and on the node."""
    gpu = taken.gpu_whole if taken and job.resources["gpus"] else None
    return {"gpu_memory": gpu, "node_memory": taken.node if taken else None}
