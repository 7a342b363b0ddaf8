"""What there is to select from: jobs and cells of a plan, how they compare with what is generated, and how they are doing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx as nx

from compiler.diff.changes import EXECUTION
from compiler.diff.compare import compare
from compiler.plan.plan import Job, Plan, PlannedCell, graph

STATES = ("new", "modified", "stale", "execution", "unchanged", "removed")
RESULTS = (
    "done", "running", "queued", "held", "waiting",
    "truncated", "failed", "upstream", "cancelled", "unknown", "stale", "never",
)  # fmt: skip
TRAINING = ("train", "convert", "merge", "pick")  # kinds that make a cell's checkpoint, also where several cells share it


@dataclass(frozen=True)
class Offer:
    """What there is to select from: a plan, and the jobs and cells that the generated one has and it has not.

    `members` are the cells of each job; `states` compares with what was generated; `results` is how each job is doing, empty
    where nobody asked.
    """

    plan: Plan
    removed: tuple[Job, ...]
    removed_cells: tuple[PlannedCell, ...]
    members: Mapping[str, tuple[str, ...]]
    states: Mapping[str, str]
    results: Mapping[str, str]
    kinds: tuple[str, ...]

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """Those of the plan in its order, then the removed ones."""
        return (*self.plan.jobs, *self.removed)

    @cached_property
    def cells(self) -> tuple[PlannedCell, ...]:
        """Those of the plan in its order, then the removed ones."""
        return (*self.plan.cells, *self.removed_cells)

    @cached_property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """The values of each axis, also those that no cell has any more."""
        found: dict[str, dict[Any, None]] = {axis: dict.fromkeys(values) for axis, values in self.plan.axes.items()}
        for cell in self.cells:
            for axis, value in cell.axes.items():
                found.setdefault(axis, {})[value] = None
        return {axis: tuple(values) for axis, values in found.items() if values}

    @cached_property
    def graph(self) -> nx.DiGraph[str]:
        return graph(self.jobs)


def offer(plan: Plan, before: Plan | None, results: Mapping[str, str], kinds: Iterable[str]) -> Offer:
    """All of `plan`, compared with what was compiled `before`. `kinds` of jobs may be asked for in vain."""
    there = {*(job.id for job in plan.jobs), *(cell.id for cell in plan.cells)}
    known = dict.fromkeys([*(job.kind for job in plan.jobs), *kinds])
    return Offer(
        plan=plan, removed=tuple(job for job in before.jobs if job.id not in there) if before else (),
        removed_cells=tuple(cell for cell in before.cells if cell.id not in there) if before else (),
        members={**(members(before) if before else {}), **members(plan)}, states=states(before, plan), results=results,
        kinds=tuple(known),
    )  # fmt: skip


def states(before: Plan | None, now: Plan) -> dict[str, str]:
    """How every job compares with the generated plan, in the sense of `compiler.diff`, by id:

    new, modified (its own settings or code changed), stale (only what it is made from did), execution (the same result, run in
    another way), unchanged, removed. A renamed job is a removed one and a new one.
    """
    found = compare(before, now)
    old = {job.id: job.fingerprint for job in before.jobs} if before else {}
    run_otherwise = {job for change in found.changes if change.effect == EXECUTION for job in change.jobs}
    there = {job.id for job in now.jobs}
    words = {name: "removed" for name in old if name not in there}
    for job in now.jobs:
        if job.id not in old:
            words[job.id] = "new"
        elif job.fingerprint != old[job.id]:
            words[job.id] = "modified" if job.id in found.invalid else "stale"
        else:
            words[job.id] = "execution" if job.id in run_otherwise else "unchanged"
    return words


def members(plan: Plan) -> dict[str, tuple[str, ...]]:
    """The cells that each job trains or measures, by job; jobs of no cell are not named."""
    whole, by_id = graph(plan.jobs), {job.id: job for job in plan.jobs}
    found: dict[str, dict[str, None]] = {}
    for cell in plan.cells:
        made = {cell.train, *(point.checkpoint for point in (*cell.points, *cell.relearned))}
        for job in made.union(*(nx.ancestors(whole, end) for end in made)):
            if by_id[job].cell is not None or by_id[job].kind in TRAINING:
                found.setdefault(job, {})[cell.id] = None
        for job in evaluations(cell):
            found.setdefault(job, {})[cell.id] = None
    return {job: tuple(cells) for job, cells in found.items()}


def evaluations(cell: PlannedCell) -> list[str]:
    """The jobs that measure a cell's checkpoints, the final one first."""
    return [*cell.after.values(), *(job for point in (*cell.points, *cell.relearned) for job in point.after.values())]
