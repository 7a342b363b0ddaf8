"""Environments of a plan's jobs: whether the jobs fit them, which lock each runs with, and what tries them out before."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.environments.checks import Scene, check
from compiler.environments.stacks import Stack, stacks_of
from compiler.language.places import Cluster, Resources
from compiler.language.source import Tree
from compiler.lower.context import Context
from compiler.lower.workshop import Request
from compiler.plan.plan import Job
from compiler.slurm import hours

OWN = "preflight"  # the class of resources that is meant for it, where a cluster has one


@dataclass(frozen=True, slots=True)
class Placed:
    """What a job's environment adds to it: the hash of what is installed there, and the preflight that comes before."""

    lock: str | None
    after: tuple[str, ...]


def in_environments(context: Context) -> tuple[list[Job], dict[str, Placed]]:
    """Every job, and by its id the lock that it runs with, after the preflight of its environment where there is one.

    Keeps what is wrong, and what may be, with the context. Raises SpecError for a lock that cannot be read.
    """
    workshop = context.workshop
    jobs = workshop.unique_jobs()
    if workshop.wrong:
        return jobs, {}
    slots = list(dict.fromkeys(job.environment for job in jobs))
    stacks = stacks_of(context.catalog, workshop.cluster, slots)
    workshop.read.update(file for stack in stacks.values() for file in stack.lock.files)
    kinds = dict.fromkeys((job.backend, job.what) for job in jobs)
    parts = {kind: workshop.part(*kind, workshop.cluster_at) for kind in kinds}
    settings = {name: sources.settings for name, sources in workshop.sources.items()}
    graders = workshop.manifest["graders"]
    found = check(Scene(jobs, parts, settings, stacks, workshop.cluster_tree, workshop.cluster_name, graders))
    workshop.wrong += found.wrong
    context.warnings.update(found.warnings)
    first = _preflights(context, jobs, stacks)
    made = [job for job in workshop.unique_jobs() if job.kind == "preflight"]
    there = [*made, *jobs]
    known: dict[Placed, Placed] = {}  # equal ones are one object
    placed = ((job.id, _placed(job, stacks, first)) for job in there)
    return there, {name: known.setdefault(one, one) for name, one in placed}


def _placed(job: Job, stacks: Mapping[str, Stack], first: Mapping[str, str]) -> Placed:
    """A job's lock and its preflight. A report, which runs with whatever there is, waits for none."""
    stack = stacks.get(job.environment)
    before = first.get(job.environment)
    waits = before is not None and job.kind != "preflight" and (not job.inputs or any(edge.required for edge in job.inputs))
    return Placed(stack.lock.digest if stack else None, (before,) if before and waits else ())


def _preflights(context: Context, jobs: Sequence[Job], stacks: Mapping[str, Stack]) -> dict[str, str]:
    """The job that tries out each environment, by the environment. This machine's own is tried by whatever runs first."""
    cluster = context.workshop.cluster
    if cluster.executor == "local":
        return {}
    return {slot: _preflight(context, slot, stack, jobs).id for slot, stack in stacks.items()}


def _preflight(context: Context, slot: str, stack: Stack, jobs: Sequence[Job]) -> Job:
    workshop = context.workshop
    at = workshop.cluster_tree.key_at(("environments", slot))
    asked = [job.resources["class"] for job in jobs if job.environment == slot]
    chosen = smallest(workshop.cluster, asked)
    settings: dict[str, Any] = {
        "environment": stack.name, "python": stack.python, "lock": stack.lock.digest, "imports": list(stack.imports),
        "activate": workshop.cluster.environments[slot].activate, "modules": workshop.cluster.environments[slot].modules,
        "gpu": workshop.cluster.resources[chosen].gpus > 0,
    }  # fmt: skip
    files = {"files": [Path(os.path.relpath(file)).as_posix() for file in stack.lock.files]}
    own = Tree(at.file, settings, {(): at}).labelled(f"environment {stack.name}")
    how = Tree(at.file, files, {(): at}).labelled(f"environment {stack.name}")
    return workshop.make(
        Request(
            id=f"preflight/{slot}", kind="preflight", backend="native", what="preflight", settings=own, execution=how,
            resources=chosen, environment=slot, whose=f"environment {slot}", asked=at,
        )
    )  # fmt: skip


def smallest(cluster: Cluster, asked: Sequence[str]) -> str:
    """Which class of resources tries out an environment: on a GPU if any job of it has one, and as little as there is."""
    classes = {name: cluster.resources[name] for name in asked}
    gpus = any(found.gpus for found in classes.values())
    if OWN in cluster.resources and bool(cluster.resources[OWN].gpus) == gpus:
        return OWN
    return min((name for name, found in classes.items() if bool(found.gpus) == gpus), key=lambda name: _size(classes[name]))


def _size(found: Resources) -> tuple[float, ...]:
    return (found.gpus, found.cpus, hours(found.time))
