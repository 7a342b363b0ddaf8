"""From cells to the plan: which jobs make which artifacts from which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from compiler.cells.cell import Cell, Expansion, text
from compiler.diagnostics import SpecError
from compiler.language.catalog import Catalog
from compiler.language.definitions import Cluster
from compiler.language.source import Tree
from compiler.language.study import Study
from compiler.lower.context import Context
from compiler.lower.fairness import check_accepted, check_budget, check_matches, facts_of, unfair
from compiler.lower.measuring import measure
from compiler.lower.reporting import report
from compiler.lower.training import Chain, recipe_of, train
from compiler.lower.workshop import Workshop
from compiler.plan.plan import Job, Plan, in_order

Made = TypeVar("Made")


def lower(study: Study, tree: Tree, catalog: Catalog, expansion: Expansion, spec: str) -> tuple[Plan, Workshop]:
    """The plan of `study`, and the workshop that knows where its values come from.

    Raises SpecError with every mistake in settings that its jobs meet.
    """
    asked = tree.at(("cluster",))
    cluster = catalog.get(Cluster, study.cluster, asked)
    workshop = Workshop(study.cluster, cluster, asked, study.tracking, catalog.trees["clusters", study.cluster])
    context = Context(study, tree, catalog, expansion.places, workshop)
    chains = _chains(context, expansion)
    cells = tuple(measure(context, chain) for chain in chains)
    report(context, cells)
    workshop.finish()
    jobs = in_order(workshop.unique_jobs(), tree.at(()))
    by_id = {job.id: job for job in jobs}
    facts = [] if workshop.wrong else [facts_of(context, *both, by_id) for both in zip(chains, cells, strict=True)]
    if not workshop.wrong:
        found = (check_matches(study, tree, facts), check_accepted(study, tree, facts), check_budget(study, tree, jobs))
        workshop.wrong += [mistake for mistakes in found for mistake in mistakes]
    if workshop.wrong:
        raise SpecError(workshop.wrong)
    _warn(context, cluster, jobs)
    context.warnings.update(unfair(study, tree, facts))
    axes = {axis: list(dict.fromkeys(text(cell.axes[axis]) for cell in expansion.cells)) for axis in expansion.cells[0].axes}
    plan = Plan(
        study=study.study, about=study.about, spec=spec, cluster=study.cluster, executor=cluster.executor,
        store=cluster.store, axes=axes, cells=cells,
        rules=tuple({"name": e.name, "action": e.action, "why": e.why, "touched": e.touched} for e in expansion.effects),
        jobs=jobs, warnings=tuple(sorted(context.warnings)),
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


def _told(context: Context, make: Callable[[Context, Cell], Made], cell: Cell) -> Made | None:
    """What `make` makes of a cell; if it cannot, its mistakes are kept, to be told with those of the others."""
    try:
        return make(context, cell)
    except SpecError as error:
        context.workshop.wrong += error.diagnostics
    return None


def _warn(context: Context, cluster: Cluster, jobs: Sequence[Job]) -> None:
    """What may go wrong although nothing is wrong with the spec."""
    for job in jobs:
        context.warn_unless_known("backends", job.backend, "backend")
        took, limit = job.cost.get("hours"), float(job.cost["limit_hours"])
        if took is not None and took > limit:
            steps = job.cost["steps"]
            context.warnings.add(
                f"{job.id}: {steps:,} steps take {took:.1f} h, and its time limit of {limit:g} h cuts it after "
                f"{int(steps * limit / took):,} ({limit / took:.0%})"
            )
    if len(jobs) > cluster.limits.submitted:
        allowed = cluster.limits.submitted
        context.warnings.add(f"the plan has {len(jobs)} jobs; the cluster lets a user submit {allowed} at a time")
