"""Measuring: which checkpoints of a cell are measured on which suites, and what they are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compiler.cells.cell import Cell
from compiler.diagnostics import Position, spec_error
from compiler.language.definitions import Point, Suite
from compiler.language.source import PathKey, Tree
from compiler.language.study import Checkpoints, Spaced
from compiler.lower.context import Column, Context
from compiler.lower.recipes import sources
from compiler.lower.starts import listed_rows, rows
from compiler.lower.training import Chain, Training, at_step, readable, start
from compiler.lower.workshop import Request
from compiler.plan.plan import Job, PlannedCell, PlannedPoint


@dataclass(frozen=True)
class Measured:
    """A checkpoint of a training: None is its last."""

    training: Training
    step: int | None


@dataclass(frozen=True)
class Begun:
    """The model that a cell begins from, and the name of what it is measured by."""

    model: Job
    name: str


def begun(chain: Chain) -> Begun:
    """What a cell begins from."""
    return Begun(chain.start, f"{chain.cell.start}_{chain.cell.scale}")


def columns(context: Context, cell: Cell, suites: Sequence[str], named: PathKey = ("evaluate", "suites")) -> list[Column]:
    """What suites, which the study names at `named`, measure of a cell: for all cells of its domain the very same."""
    return context.once(("columns", cell.domain, *named, *suites), lambda: _columns(context, cell, suites, named))


def _columns(context: Context, cell: Cell, suites: Sequence[str], named: PathKey) -> list[Column]:
    found = []
    for number, name in enumerate(suites):
        asked = context.tree.at((*named, number))
        suite = context.catalog.get(Suite, name, asked)
        if suite.is_divergence:
            message = f"suite '{name}' measures a divergence, which is no score"
            raise spec_error(asked, message, f"say it as `divergence: {name}` under `evaluate`")
        if suite.domains == "cell":
            own = _measured_domains(context, cell, suite.source)
            found += [Column(f"{name}.{domain}", name, suite, domain, asked) for domain in own]
        else:
            found.append(Column(name, name, suite, None, asked))
    context.columns.update({column.name: column for column in found})
    return found


def trained_domains(context: Context, domain: str) -> list[str]:
    """The domains with rows of their own that a domain is made of."""

    def made() -> list[str]:
        read = sources(context.catalog, domain, context.axis_value("domain", domain))
        return list(dict.fromkeys(part for source in read for part in source.parts))

    return context.once(("trained", domain), made)


def _measured_domains(context: Context, cell: Cell, source: str | None) -> list[str]:
    """The domains that a suite of the cell's own domain measures."""
    whole = context.domain(cell.domain).measured_on
    found = whole or [
        measured for part in trained_domains(context, cell.domain) for measured in (context.domain(part).measured_on or [part])
    ]
    return [name for name in dict.fromkeys(found) if source in (None, (context.domain(name).settings or {}).get("source"))]


def measure(context: Context, chain: Chain) -> PlannedCell:
    """Every evaluation of one cell: of its start, of its last checkpoint, and along the way."""
    cell, last = chain.cell, readable(context, chain.trainings[-1], None)
    asked = context.once(("asked", cell.domain, cell.start, cell.scale), lambda: _asked(context, chain))
    own, scale = asked.columns, cell.scale
    after = {column.name: evaluate(context, column, last, cell.id, cell.labels, scale, asked.first).id for column in own}
    points = tuple(_points(context, chain, own))
    moved = diverge(context, chain, last, cell.id, asked.trained)
    return PlannedCell(cell.id, cell.labels, last.id, asked.before, after, asked.trained, points, divergence=moved)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is measured of all cells of a domain that begin from one start, which is measured itself, and what they learn."""

    columns: Sequence[Column]
    first: Begun
    before: Mapping[str, str]
    trained: tuple[str, ...]


def _asked(context: Context, chain: Chain) -> _Asked:
    cell, evaluated, first = chain.cell, context.study.evaluate, begun(chain)
    own = columns(context, cell, evaluated.suites)
    compared = own if evaluated.baselines else []
    before = {column.name: evaluate(context, column, first.model, first.name, None, cell.scale).id for column in compared}
    return _Asked(own, first, before, tuple(trained_domains(context, cell.domain)))


def _points(context: Context, chain: Chain, own: Sequence[Column]) -> Iterator[PlannedPoint]:
    """The checkpoints along the way, each with the columns that want it."""
    wanted: dict[tuple[int, int | None], tuple[Measured, list[Column]]] = {}
    for number, training in enumerate(chain.trainings):
        final = number == len(chain.trainings) - 1
        if not (final or (context.study.evaluate.after == "each" and training.step.ends_domain)):
            continue
        for column in own:
            policy = column.found.checkpoints or context.study.evaluate.checkpoints
            for step in (*_steps(context, policy, training, column.asked), *(() if final else (None,))):
                wanted.setdefault((number, step), (Measured(training, step), []))[1].append(column)
    for (number, step), (measured, there) in sorted(wanted.items(), key=lambda item: (item[0][0], item[0][1] or 10**12)):
        yield _point(context, chain, number, step, measured, there)


def _point(
    context: Context, chain: Chain, number: int, step: int | None, measured: Measured, there: Sequence[Column]
) -> PlannedPoint:
    training, cell = measured.training, chain.cell
    source, stage = training.step.source.name, training.step.stage.algorithm
    model = readable(context, training, step)
    label = f"{number + 1}_{stage}" + ("" if step is None else f".step{step}")
    jobs = {c.name: evaluate(context, c, model, f"{cell.id}.{label}", cell.labels, cell.scale, begun(chain)).id for c in there}
    turn = f", round {training.step.round + 1}" if training.step.stage.repeat > 1 else ""
    shown = f"{stage} on {source}{turn}" + ("" if step is None else f", step {step}")
    so_far = dict.fromkeys(part for done in chain.trainings[: number + 1] for part in done.step.source.parts)
    moved = diverge(context, chain, model, f"{cell.id}.{label}", tuple(so_far))
    return PlannedPoint(shown, source, step, model.id, jobs, moved)


def _steps(context: Context, policy: Checkpoints, training: Training, asked: Position) -> list[int]:
    """The intermediate checkpoints that a policy means; a training's last one is always measured, and not among them."""
    if policy == "final":
        return []
    if isinstance(policy, Spaced) and policy.log is None:
        units = {"step": policy.steps, "epoch": policy.epochs, "fraction": policy.fractions}
        unit, values = next((unit, values) for unit, values in units.items() if values)
        chosen = [at_step(context, Point.model_validate({unit: value}), training, asked) for value in values]
        return sorted({step for step in chosen if step is not None})
    saved = _saved(context, training, asked)
    return saved if policy == "all" or policy.log is None else _log_spaced([*saved, training.cost.steps or 0], policy.log)


def _saved(context: Context, training: Training, asked: Position) -> list[int]:
    """The steps at which a training saves, but for its last."""
    last, every = training.cost.steps, training.job.execution.get("save_steps")
    if last is None and context.workshop.wrong:
        return []
    if last is None:
        message = f"how many checkpoints '{training.name}' leaves is not known before its data is there"
        raise spec_error(asked, message, f"give its domain `examples: {{{training.step.stage.dataset}: N}}`, or name steps")
    return list(range(every, last, every)) if isinstance(every, int) and every > 0 else []


def _log_spaced(steps: Sequence[int], many: int) -> list[int]:
    """The first and the last of `steps` and what is nearest to even spacing of logarithms between; without the last."""
    first, last = steps[0], steps[-1]
    targets = [first * (last / first) ** (n / (many - 1)) for n in range(many)]
    return sorted({min(steps, key=lambda step: abs(step - target)) for target in targets} - {last})


# --- one evaluation ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the evaluations of a column share: the part that measures, the rows that it measures on, its settings, and what it
    is given."""

    what: str
    rows: Mapping[str, Job]
    settings: Tree
    execution: Tree
    given: Mapping[str, Any]


def evaluate(
    context: Context, column: Column, model: Job, name: str, cell: Mapping[str, str] | None, scale: str,
    first: Begun | None = None, compared: bool = True,
) -> Job:  # fmt: skip
    """One suite on one checkpoint, with the scores of the models that the suite compares with: the reference start, and what
    the cell began from (`first`)."""
    suite, found = column.suite, column.found
    reference = _reference(context, column, model, scale) if found.reference and compared else {}
    start_scores = _start_scores(context, column, model, scale, first) if found.before else {}
    whence = (_whence(reference, found.reference), _whence(start_scores, found.before))
    sheet = context.once(("sheet", suite, column.own, *whence), lambda: _sheet(context, column, *whence))
    return context.workshop.make(
        Request(
            id=f"evaluate/{name}.{column.name}", kind="evaluate", backend=found.backend, what=sheet.what,
            settings=sheet.settings, execution=sheet.execution, resources=found.resources,
            inputs={"model": model, **sheet.rows, **reference, **start_scores}, cell=cell, whose=f"suite {suite}",
            asked=column.asked, given=sheet.given,
        )
    )  # fmt: skip


def _sheet(context: Context, column: Column, whence: str, since: str) -> Sheet:
    measured, domains = _measured_rows(context, column)
    settings, execution = (context.below("suites", column.suite, (group,)) for group in ("settings", "execution"))
    tasks = [_task(context, domain) for domain in domains]
    given = {"suite": column.name, "tasks": tasks, "reference": whence, "start": since}
    return Sheet(column.found.what, measured, settings, execution, given)


def _measured_rows(context: Context, column: Column) -> tuple[dict[str, Job], list[str]]:
    """What a column measures on: the rows of domains, and their names."""
    if column.own is not None:
        return {column.own: rows(context, column.own, column.asked)}, [column.own]
    domains = list(column.found.domains)
    return listed_rows(context, "suites", column.suite, ("domains",), domains), domains


def _whence(scores: Mapping[str, Job], compares: bool) -> str:
    """Where scores to compare with come from: an input, the evaluation itself (what it measures is what others are compared
    with), or nowhere, since the suite compares with none."""
    return "scores" if scores else "self" if compares else "none"


def _start_scores(context: Context, column: Column, model: Job, scale: str, first: Begun | None) -> dict[str, Job]:
    """The scores of what the cell began from; that itself, and a reference, are compared with no start."""
    if first is None or first.model.fingerprint == model.fingerprint:
        return {}
    return {"start": evaluate(context, column, first.model, first.name, None, scale)}


def diverge(context: Context, chain: Chain, model: Job, name: str, trained: Sequence[str]) -> dict[str, str]:
    """How far a checkpoint has moved from its cell's start, on the domains trained on by then, or those that the suite names.

    The job by the suite's name; nothing where the study does not ask. Raises SpecError for a suite that measures none.
    """
    suite = context.study.evaluate.divergence
    if suite is None:
        return {}
    asked = context.tree.at(("evaluate", "divergence"))
    found = context.catalog.get(Suite, suite, asked)
    if not found.is_divergence:
        hint = f"name one that has the setting 'divergence', or put '{suite}' under 'suites'"
        raise spec_error(asked, f"suite '{suite}' measures no divergence", hint)
    domains = list(trained) if found.domains in ("cell", []) else list(found.domains)
    for domain in domains:
        _check_prompts(context, suite, found, domain)
    context.columns[suite] = Column(suite, suite, found, None, asked)
    made = context.workshop.make(
        Request(
            id=f"evaluate/{name}.{suite}", kind="evaluate", backend=found.backend, what=found.what,
            settings=context.below("suites", suite, ("settings",)), execution=context.below("suites", suite, ("execution",)),
            resources=found.resources, cell=chain.cell.labels, whose=f"suite {suite}", asked=asked,
            inputs={"model": model, "start": chain.start, **{domain: rows(context, domain, asked) for domain in domains}},
            given={"suite": suite, "domains": domains},
        )
    )  # fmt: skip
    return {suite: made.id}


def _check_prompts(context: Context, name: str, suite: Suite, domain: str) -> None:
    """Raises SpecError for a suite that asks more prompts of a domain than it has evaluation rows, where both are known."""
    wanted, there = (suite.settings or {}).get("prompts"), (context.domain(domain).settings or {}).get("eval")
    if isinstance(wanted, int) and isinstance(there, int) and wanted > there:
        message = f"suite '{name}' asks {wanted} prompts of domain '{domain}', whose evaluation rows are {there}"
        raise spec_error(context.catalog.at("suites", name, ("settings", "prompts")), message, f"ask for {there} at most")


def _reference(context: Context, column: Column, model: Job, scale: str) -> dict[str, Job]:
    """The scores of the model that never saw what is to be forgotten; it is compared with nothing itself."""
    domain = str(column.own)
    name = context.domain(domain, column.asked).reference if column.own else None
    if name is None:
        at = context.catalog.at("domains", domain) if column.own else column.asked
        message = f"suite '{column.suite}' compares with the domain's reference start, and there is none"
        raise spec_error(at, message, "give the domain `reference: START`; such a suite has `domains: cell`")
    at = context.catalog.at("domains", domain, ("reference",))
    retained = start(context, name, scale, at)
    if retained.fingerprint == model.fingerprint:
        return {}
    return {"reference": evaluate(context, column, retained, f"{name}_{scale}", None, scale, compared=False)}


def _task(context: Context, domain: str) -> dict[str, Any]:
    """A domain's evaluation rows as one task of a suite. A wrong number of them is the domain's mistake, told there."""
    found = context.domain(domain)
    items = (found.settings or {}).get("eval")
    return {"name": domain, "grader": found.grader, "items": items if isinstance(items, int) and items > 0 else 1}
