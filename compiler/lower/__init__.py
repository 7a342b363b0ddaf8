"""From cells to the plan: which jobs make which artifacts from which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from compiler.backends import is_own
from compiler.cells.cell import Cell, Expansion, text
from compiler.diagnostics import SpecError
from compiler.fitness.doubts import lost_sizes
from compiler.fitness.fit import Unfit
from compiler.language.catalog import Catalog
from compiler.language.places import Cluster
from compiler.language.source import Tree
from compiler.language.study import Study
from compiler.lock.pins import pins
from compiler.lower.amend import Amendment
from compiler.lower.context import Context
from compiler.lower.fairness import check_accepted, check_budget, check_matches, facts_of, unfair
from compiler.lower.holding import held_against
from compiler.lower.measuring import measure
from compiler.lower.preflight import in_environments
from compiler.lower.relearning import Relearned, relearn
from compiler.lower.reporting import report
from compiler.lower.training import Chain, recipe_of, train
from compiler.lower.workshop import Workshop
from compiler.plan.plan import Job, Plan, PlannedCell
from compiler.plan.restarts import starts_allowed, starts_needed
from compiler.plan.sharing import shared_by_cells

Made = TypeVar("Made")


def lower(
    study: Study, tree: Tree, catalog: Catalog, expansion: Expansion, spec: str, amendments: tuple[Amendment, ...] = ()
) -> tuple[Plan, Workshop]:
    """The plan of `study`, and the workshop that knows where its values come from. `amendments` lie on top of every job.

    Raises SpecError with every mistake in settings that its jobs meet; Unfit when all that is wrong is their size.
    """
    asked = tree.at(("cluster",))
    cluster = catalog.get(Cluster, study.cluster, asked)
    workshop = Workshop(study.cluster, cluster, asked, study.tracking, catalog.trees["clusters", study.cluster], amendments)
    context = Context(study, tree, catalog, expansion.places, workshop)
    chains = _chains(context, expansion)
    again = {chain.cell.id: relearn(context, chain) for chain in chains}
    cells = tuple(_whole(measure(context, chain), again[chain.cell.id]) for chain in chains)
    context.forget()
    report(context, cells, again)
    workshop.finish()
    jobs, placed = in_environments(context)
    if workshop.wrong:
        raise SpecError(workshop.wrong)
    held = held_against(context, cluster, jobs, cells)
    jobs = [job.placed(held.taken[job.id].cost, placed[job.id].lock, placed[job.id].after) for job in jobs]
    by_id = {job.id: job for job in jobs}
    facts = [facts_of(context, *both, by_id) for both in zip(chains, cells, strict=True)]
    found = (check_matches(study, tree, facts), check_accepted(study, tree, facts), check_budget(study, tree, jobs))
    wrong = [*(mistake for mistakes in found for mistake in mistakes), *lost_sizes(catalog, study.evaluate.suites)]
    if wrong or held.wrong:
        raise SpecError([*wrong, *held.wrong]) if wrong else Unfit(held.wrong)
    _warn(context, cluster, jobs)
    context.warnings.update(unfair(study, tree, facts))
    axes = {axis: list(dict.fromkeys(text(cell.axes[axis]) for cell in expansion.cells)) for axis in expansion.cells[0].axes}
    plan = Plan(
        study=study.study, about=study.about, spec=spec, cluster=study.cluster, executor=cluster.executor,
        store=cluster.store, axes=axes, cells=cells,
        rules=tuple({"name": e.name, "action": e.action, "why": e.why, "touched": e.touched} for e in expansion.effects),
        jobs=tuple(jobs), warnings=tuple(sorted(context.warnings)), sharing=shared_by_cells(cells, jobs),
        gate=study.its_canary if study.canary else None,
    )  # fmt: skip
    return plan, workshop


def _chains(context: Context, expansion: Expansion) -> list[Chain]:
    """Every cell's trainings; what is wrong with some is told together.

    The shortest recipes come first, so that a training which is the whole of one cell and the beginning of another has the
    name of the first.
    """
    recipes = {cell.id: _told(context, recipe_of, cell) for cell in expansion.cells}
    shortest = sorted(expansion.cells, key=lambda cell: len(recipes[cell.id] or ()))
    made = {cell.id: _told(context, train, cell) for cell in shortest if recipes[cell.id]}
    chains = [chain for cell in expansion.cells if (chain := made.get(cell.id))]
    if len(chains) < len(expansion.cells):
        raise SpecError(context.workshop.wrong)
    return chains


def _whole(cell: PlannedCell, again: Relearned | None) -> PlannedCell:
    """A measured cell with its relearning."""
    return cell if again is None else replace(cell, relearned=again.own)


def _told(context: Context, make: Callable[[Context, Cell], Made], cell: Cell) -> Made | None:
    """What `make` makes of a cell; if it cannot, its mistakes are kept, to be told with those of the others."""
    try:
        return make(context, cell)
    except SpecError as error:
        context.workshop.wrong += error.diagnostics
    return None


def _too_long(job: Job, cluster: Cluster, took: float, limit: float) -> str:
    """What becomes of a training that takes longer than its time limit."""
    steps, needed, allowed = job.cost["steps"], starts_needed(job, cluster), starts_allowed(job, cluster)
    said = f"{job.id}: {steps:,} steps take {took:.1f} h, and its time limit"
    if needed <= allowed:
        return f"{said} is {limit:g} h: it is stopped and goes on, {needed} starts in all"
    part, over = limit * allowed / took, f", {allowed} times over," if allowed > 1 else ""
    return f"{said} of {limit:g} h{over} cuts it after {int(steps * part):,} ({part:.0%})"


def _warn(context: Context, cluster: Cluster, jobs: Sequence[Job]) -> None:
    """What may go wrong although nothing is wrong with the spec."""
    for backend in dict.fromkeys(job.backend for job in jobs):
        if is_own(backend):
            context.warn_unless_known("backends", backend, "backend")
    for job in jobs:
        took = job.cost.get("hours")
        if took is None or took <= (limit := float(job.cost["limit_hours"])):
            continue
        if job.kind == "evaluate":
            context.warnings.add(f"{job.id}: its suite takes {took:.1f} h, and its time limit is {limit:g} h")
        elif cluster.executor == "slurm":
            context.warnings.add(_too_long(job, cluster, took, limit))
    for pin in pins(jobs):
        if not pin.fixed:
            context.warnings.add(f"{pin.name} is named at revision '{pin.revision}', which can move; name a commit, or lock it")
    if len(jobs) > cluster.limits.submitted:
        allowed = cluster.limits.submitted
        context.warnings.add(f"the plan has {len(jobs)} jobs; the cluster lets a user submit {allowed} at a time")
