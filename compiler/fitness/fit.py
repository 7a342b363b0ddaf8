"""What lowering asks of this room: what each job takes of memory, and whether the plan fits its cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

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
    """Jobs with what they take of memory in their cost, what is wrong, and what may be."""

    jobs: tuple[Job, ...]
    wrong: tuple[Diagnostic, ...]
    remarks: tuple[Remark, ...]


def fit(place: Place, jobs: Sequence[Job], models: Mapping[str, Model]) -> Fitness:
    """Hold every job against the cluster that it would run on."""
    taken = {job.id: _need(place, job, models) for job in jobs}
    found = [said for job in jobs for said in _said(place, job, models.get(job.id), taken[job.id])]
    wrong = (*beyond_limits(place, jobs), *beyond_quota(place, jobs), *(d for d in found if isinstance(d, Diagnostic)))
    costed = tuple(_with_memory(job, taken[job.id]) for job in jobs)
    return Fitness(costed, wrong, tuple(remark for remark in found if isinstance(remark, Remark)))


def _said(place: Place, job: Job, model: Model | None, taken: Need | None) -> Iterator[Diagnostic | Remark]:
    if model is not None and taken is not None:
        yield from beyond_gpus(place, job, model, taken)
        yield from beyond_node(place, job, model, taken)


def _need(place: Place, job: Job, models: Mapping[str, Model]) -> Need | None:
    teacher = next((models.get(edge.job) for edge in job.inputs if edge.name == "teacher"), None)
    return need(job, models[job.id], gpu_memory(place.cluster, job), teacher) if job.id in models else None


def _with_memory(job: Job, taken: Need | None) -> Job:
    """A job whose cost says what it takes: bytes on each GPU, where there are GPUs, and on the node."""
    gpu = taken.gpu_whole if taken and job.resources["gpus"] else None
    return replace(job, cost={**job.cost, "gpu_memory": gpu, "node_memory": taken and taken.node})
