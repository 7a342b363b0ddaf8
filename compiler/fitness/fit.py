"""What lowering asks of this room: what each job takes of memory, and whether the plan fits its cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compiler.diagnostics import Diagnostic, SpecError
from compiler.fitness.demand import Need
from compiler.fitness.limits import Place, beyond_gpus, beyond_limits, beyond_node, beyond_quota
from compiler.fitness.models import Model
from compiler.fitness.remarks import Remark
from compiler.plan.plan import Job


class Unfit(SpecError):
    """The plan is right, and too large for its cluster."""


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What jobs take that are alike: their whole cost, as the plan has it, and their memory where that is known."""

    cost: Mapping[str, Any]
    need: Need | None


@dataclass(frozen=True)
class Fitness:
    """What each job takes, by its id, what is wrong, and what may be."""

    taken: Mapping[str, Taken]
    wrong: tuple[Diagnostic, ...]
    remarks: tuple[Remark, ...]


def fit(place: Place, jobs: Sequence[Job], models: Mapping[str, Model], taken: Mapping[str, Taken]) -> Fitness:
    """Hold every job against the cluster that it would run on. Jobs that take the very same are alike."""
    stored = sum(float(taken[job.id].cost["storage"] or 0) for job in jobs)
    found, fine = list[Diagnostic | Remark](), set[int]()
    for job in jobs:
        its = taken[job.id]
        said = [] if id(its) in fine else list(_said(place, job, models.get(job.id), its.need))
        found += said
        if not said:
            fine.add(id(its))
    wrong = (*beyond_limits(place, jobs), *beyond_quota(place, stored), *(d for d in found if isinstance(d, Diagnostic)))
    return Fitness(taken, wrong, tuple(remark for remark in found if isinstance(remark, Remark)))


def _said(place: Place, job: Job, model: Model | None, taken: Need | None) -> Iterator[Diagnostic | Remark]:
    if model is not None and taken is not None:
        yield from beyond_gpus(place, job, model, taken)
        yield from beyond_node(place, job, model, taken)


def in_memory(job: Job, taken: Need | None) -> dict[str, float | None]:
    """What a job takes, as its cost says it: bytes on each GPU, where there are GPUs, and on the node."""
    gpu = taken.gpu_whole if taken and job.resources["gpus"] else None
    return {"gpu_memory": gpu, "node_memory": taken.node if taken else None}
