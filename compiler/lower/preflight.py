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
    """Every job after those that it waits for, and by its id the lock that it runs with and the preflight of its environment.

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
    graders = workshop.manifest["graders"]

    def settings(job: str) -> Tree:
        return workshop.sources[job].settings

    found = check(Scene(jobs, parts, settings, stacks, workshop.cluster_tree, workshop.cluster_name, graders))
    workshop.wrong += found.wrong
    context.warnings.update(found.warnings)
    first = _preflights(context, jobs, stacks)
    tried = {job.id: job for job in first.values()}  # two names of one environment have one preflight
    there = [*tried.values(), *jobs]  # these were made after their inputs
    if workshop.wrong:
        return there, {}
    both = {(slot, waits): _placed(slot, waits, stacks, first) for slot in slots for waits in (True, False)}
    return there, {job.id: both[job.environment, _waits(job)] for job in there}


def _waits(job: Job) -> bool:
    """Whether a job waits for its preflight: not a report, which runs with whatever there is."""
    return job.kind != "preflight" and (not job.inputs or any(edge.required for edge in job.inputs))


def _placed(slot: str, waits: bool, stacks: Mapping[str, Stack], first: Mapping[str, Job]) -> Placed:
    """What jobs of an environment get: its lock, and its preflight if they wait for that."""
    stack, before = stacks.get(slot), first.get(slot)
    return Placed(stack.lock.digest if stack else None, (before.id,) if before and waits else ())


def _preflights(context: Context, jobs: Sequence[Job], stacks: Mapping[str, Stack]) -> dict[str, Job]:
    """The job that tries out each environment, by the environment. This machine's own is tried by whatever runs first."""
    cluster = context.workshop.cluster
    if cluster.executor == "local":
        return {}
    return {slot: _preflight(context, slot, stack, jobs) for slot, stack in stacks.items()}


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
