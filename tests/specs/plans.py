"""The plans of the specs that the project ships, each compiled once, and the questions that tests ask of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from compiler.pipeline import compile_study
from compiler.plan.plan import Job, Plan, PlannedCell

SPECS = Path(__file__).parents[2] / "specs"

# What a job goes on from: the input of each kind that leads back to the start.
BACK = {"train": "start", "merge": "adapter", "convert": "shards", "pick": "run"}


@cache
def plan(name: str) -> Plan:
    """The plan of `specs/NAME.yaml`."""
    return compile_study(SPECS / f"{name}.yaml").plan


@cache
def jobs(name: str) -> Mapping[str, Job]:
    """The jobs of a plan by their ids."""
    return {job.id: job for job in plan(name).jobs}


def cells(name: str) -> list[str]:
    """The ids of a plan's cells, in their order."""
    return [cell.id for cell in plan(name).cells]


def cell(name: str, cell_id: str) -> PlannedCell:
    """One cell of a plan."""
    return next(found for found in plan(name).cells if found.id == cell_id)


def of_kind(name: str, kind: str) -> list[Job]:
    """The jobs of one kind, in the plan's order."""
    return [job for job in plan(name).jobs if job.kind == kind]


def back(name: str, job_id: str) -> Iterator[Job]:
    """A job and what it goes on from, back to the start."""
    job = jobs(name)[job_id]
    yield job
    if job.kind in BACK:
        yield from back(name, source(job, BACK[job.kind]))


def trainings(name: str, cell_id: str) -> list[Job]:
    """The trainings of a cell, in the order in which they run."""
    return [job for job in back(name, cell(name, cell_id).train) if job.kind == "train"][::-1]


def source(job: Job, name: str) -> str:
    """The id of the job that makes an input."""
    return next(edge.job for edge in job.inputs if edge.name == name)
