"""Holding a plan against its cluster: what each job takes, what does not fit, and what is doubtful."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from compiler.fitness.demand import need
from compiler.fitness.doubts import remarks
from compiler.fitness.fit import Fitness, Taken, fit, in_memory
from compiler.fitness.limits import Place, gpu_memory
from compiler.fitness.models import Model, models_of
from compiler.fitness.remarks import told
from compiler.language.definitions import Hours
from compiler.language.places import Cluster
from compiler.lower.context import Context
from compiler.lower.cost import whole_cost
from compiler.plan.plan import Job, PlannedCell
from compiler.plan.restarts import starts
from compiler.watched import Known


def held_against(context: Context, cluster: Cluster, jobs: Sequence[Job], cells: Sequence[PlannedCell]) -> Fitness:
    """What each job takes, and what does not fit; what is doubtful is kept among the warnings."""
    catalog, study, workshop = context.catalog, context.study, context.workshop
    models, known = models_of(workshop.models, jobs), dict[Hashable, Known[Taken]]()
    taken = {job.id: _taken(context, cluster, job, models, known) for job in jobs}
    place = Place(catalog, study.cluster, cluster, workshop.cluster_at, lambda job: workshop.sources[job].execution)
    found = fit(place, jobs, models, taken)
    context.warnings.update(told([*found.remarks, *remarks(catalog, study.evaluate.suites, jobs, cells, models)]))
    return found


def _taken(
    context: Context, cluster: Cluster, job: Job, models: Mapping[str, Model], known: dict[Hashable, Known[Taken]]
) -> Taken:
    """What a job takes; for jobs that are alike in all that decides it the very same."""
    model, hours = models.get(job.id), _suite_hours(context, job)
    teacher = next((models.get(edge.job) for edge in job.inputs if edge.name == "teacher"), None)
    alike = (  # by the ids of objects that live as long as the plan
        job.kind, job.backend, job.what, job.output, id(job.execution), id(job.resources), id(job.cost), id(model), id(teacher),
        id(hours),
    )  # fmt: skip
    if alike not in known:
        known[alike] = Known(partial(_first_taken, cluster, job, model, teacher, hours))
    return known[alike].of(job.settings)


def _first_taken(
    cluster: Cluster, job: Job, model: Model | None, teacher: Model | None, hours: Hours | None, settings: Mapping[str, Any]
) -> Taken:
    job = replace(job, settings=settings)
    found = need(job, model, gpu_memory(cluster, job), teacher) if model else None
    return Taken({**whole_cost(job, model, hours, starts(job, cluster)), **in_memory(job, found)}, found)


def _suite_hours(context: Context, job: Job) -> Hours | None:
    """What the suite that a job measures takes, where that was measured."""
    if job.kind != "evaluate":
        return None
    return context.columns[str(job.settings["suite"])].found.hours
