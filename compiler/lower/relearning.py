"""Relearning: a short training on what a cell was to forget, which shows how soon it is back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from compiler.backends import Part
from compiler.cells.cell import Cell
from compiler.diagnostics import Position, spec_error
from compiler.language.definitions import Point, Stage
from compiler.language.source import Tree, merged
from compiler.language.study import Relearn
from compiler.lower.context import Column, Context
from compiler.lower.data import Models
from compiler.lower.measuring import Begun, begun, columns, evaluate
from compiler.lower.recipes import Step
from compiler.lower.training import Chain, at_step, domain_settings, lesson, one_training, readable, start
from compiler.plan.plan import Job, PlannedPoint

ASKED = ("evaluate", "relearn")


@dataclass(frozen=True)
class Relearned:
    """The measured checkpoints of a cell's relearning, and those of the model that never saw what is to be forgotten."""

    own: tuple[PlannedPoint, ...]
    reference: tuple[PlannedPoint, ...]


def relearn(context: Context, chain: Chain) -> Relearned | None:
    """The relearning of a cell, where the study asks for one, and of its reference start, where it has one."""
    asked = context.study.evaluate.relearn
    if asked is None:
        return None
    cell, last = chain.cell, chain.trainings[-1]
    named = (*ASKED, "suites") if asked.suites else ("evaluate", "suites")
    measured = columns(context, cell, asked.suites or context.study.evaluate.suites, named)
    step = _step(asked, last.step)
    own = _points(context, cell, step, readable(context, last, None), f"{cell.id}.relearn", measured, cell.labels, begun(chain))
    return Relearned(own, _of_reference(context, cell, step, measured))


def _step(asked: Relearn, last: Step) -> Step:
    """The training as a stage that follows the cell's last one, on the rows of that."""
    return replace(last, stage=Stage(algorithm=asked.algorithm, dataset=asked.dataset), path=(), round=0)


def _of_reference(context: Context, cell: Cell, step: Step, measured: Sequence[Column]) -> tuple[PlannedPoint, ...]:
    """The same of the reference start: it learns for the first time what an unlearned model may still know."""
    domain = step.source.domain
    name = context.domain(domain).reference
    if name is None:
        return ()
    at = context.catalog.at("domains", domain, ("reference",))
    model = start(context, name, cell.scale, at)
    reference = Cell(f"{name}_{cell.scale}", {**cell.axes, "start": name}, {**cell.labels, "start": name})
    return _points(context, reference, step, model, f"{reference.id}.relearn_{step.source.name}", measured, None)


def _points(
    context: Context, cell: Cell, step: Step, model: Job, name: str, measured: Sequence[Column],
    labels: Mapping[str, str] | None, first: Begun | None = None,
) -> tuple[PlannedPoint, ...]:  # fmt: skip
    """The training, and every evaluation of its checkpoints."""
    key = ("lesson", *ASKED, step.source.name, cell.start, cell.scale)
    asked = context.once(key, lambda: lesson(context, cell, step, partial(_place, context)))
    settings = _layered(context, step, asked.part)
    training = one_training(context, cell, asked, name, Models(model, model, {}), settings, labels)
    found = []
    for number in sorted(step_numbers(context)):
        kept = at_step(context, Point(step=number), training, _place(context, "steps"))
        made = readable(context, training, kept)
        at = f"{name}.step{number}"
        jobs = {column.name: evaluate(context, column, made, at, labels, cell.scale, first).id for column in measured}
        found.append(PlannedPoint(f"relearned, step {number}", step.source.name, number, made.id, jobs))
    return tuple(found)


def step_numbers(context: Context) -> list[int]:
    """The steps after which relearning is measured."""
    asked = context.study.evaluate.relearn
    return asked.steps if asked else []


def _place(context: Context, field: str) -> Position:
    return context.tree.at((*ASKED, field))


def _layered(context: Context, step: Step, part: Part) -> Tree:
    """The algorithm's settings, the domain's, then what the study says of relearning; for all cells of a domain the same."""
    name = step.stage.algorithm
    key = (*ASKED, name, step.source.name)
    if key not in context.settings:
        settings = context.below("algorithms", name, ("settings",))
        for layer in (*domain_settings(context, step.source, name), _own(context, part)):
            settings = merged(settings, layer)
        context.settings[key] = settings
    return context.settings[key]


def _own(context: Context, part: Part) -> Tree:
    """As many steps as are measured, and over that what stands under `settings`."""
    at, taken = _place(context, "steps"), part.takes("settings")
    if "steps" not in taken:
        raise spec_error(_place(context, "algorithm"), f"'{part.what}' of backend '{part.backend}' is not trained by steps")
    count: dict[str, Any] = {"steps": max(step_numbers(context)), **({"epochs": None} if "epochs" in taken else {})}
    steps = Tree(at.file, count, {(name,): at for name in count}, {(name,): at for name in count}).labelled("relearn")
    given = context.tree.data["evaluate"]["relearn"].get("settings")
    return merged(steps, context.tree.below((*ASKED, "settings")).labelled("relearn")) if given else steps
