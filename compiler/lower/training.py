"""Training: every stage of a cell's recipe, from checkpoint to checkpoint, and what makes those readable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from compiler.backends import Begins, Part, is_own
from compiler.cells.cell import Cell, labels_of
from compiler.diagnostics import Diagnostic, Position, nearest, spec_error
from compiler.language.definitions import Adapter, Algorithm, Method, Point, Stage, Trained
from compiler.language.source import Tree, merged
from compiler.lower.context import READABLE, RECORDED, Context
from compiler.lower.cost import Cost, paced, planned
from compiler.lower.data import Data, Models, dataset, examples, grader
from compiler.lower.recipes import Source, Step, sources, steps
from compiler.lower.starts import hub_or_pretrained, teacher
from compiler.lower.workshop import EMPTY, Request
from compiler.plan.plan import Job
from compiler.watched import Known

TEACHER = "teacher_model"  # the setting that names it, and so what tells that an algorithm learns from another model


class Training(NamedTuple):
    """One training of a cell: what it began from, what it made, and where in the recipe it stands."""

    step: Step
    name: str
    start: Job
    data: Data
    job: Job
    cost: Cost
    asked: Position


class Chain(NamedTuple):
    """Everything that is trained for one cell, in order, from its start."""

    cell: Cell
    start: Job
    trainings: tuple[Training, ...]


def train(context: Context, cell: Cell, seen: tuple[tuple[str, str], ...] = ()) -> Chain:
    """Every training of a cell."""
    recipe = recipe_of(context, cell)
    context.once(("overrides", cell.method, *map(id, cell.overrides)), lambda: _check_overrides(context, cell, recipe))
    begun = start(context, cell.start, cell.scale, seen=seen)
    done: list[Training] = []
    for number, step in enumerate(recipe, 1):
        last = number == len(recipe)
        name = cell.id if last else f"{cell.id}.{number}_{step.stage.algorithm}"
        done.append(_training(context, cell, step, name, begun, done))
    return Chain(cell, begun, tuple(done))


def recipe_of(context: Context, cell: Cell) -> Sequence[Step]:
    """What is trained for a cell, in order; for all cells of its method and domain the very same steps."""
    found = context.recipes.get((cell.method, cell.domain))
    if found is None:
        method = context.catalog.get(Method, cell.method, context.axis_value("method", cell.method))
        read = sources(context.catalog, cell.domain, context.axis_value("domain", cell.domain))
        found = context.recipes[cell.method, cell.domain] = tuple(steps(method, read))
    return found


def start(
    context: Context, name: str, scale: str, asked: Position | None = None, seen: tuple[tuple[str, str], ...] = ()
) -> Job:
    """The checkpoint of a start: from the hub, or trained by the plan."""
    return context.once(("start", name, scale), lambda: _start(context, name, scale, asked, seen))


def _start(context: Context, name: str, scale: str, asked: Position | None, seen: tuple[tuple[str, str], ...]) -> Job:
    found = context.start(name, scale, asked)
    if found.trained is None:
        return hub_or_pretrained(context, name, scale, asked)
    at = context.catalog.at("scales", scale, ("starts", name, "trained"))
    if (name, scale) in seen:
        names = " -> ".join([*(one for one, _ in seen), name])
        raise spec_error(at, f"starts go round in a circle: {names}")
    chain = train(context, _trained_cell(name, scale, found.trained), (*seen, (name, scale)))
    return readable(context, chain.trainings[-1], None)


def _trained_cell(name: str, scale: str, made: Trained) -> Cell:
    """The training behind a start, as a cell that no axis or rule touches."""
    axes = {"method": made.method, "domain": made.domain, "start": made.start, "scale": scale}
    return Cell(f"{name}_{scale}", axes, labels_of(axes))


def _training(context: Context, cell: Cell, step: Step, name: str, begun: Job, done: Sequence[Training]) -> Training:
    """One step, from the checkpoint that it names of the step before, or from the start."""
    model = _from(context, cell, step, done) if done else begun
    models = Models(begun, model, done[-1].data.traces if done and step.round else {})
    key = ("lesson", cell.method, *step.path, step.round, step.source.name, cell.start, cell.scale)
    asked = context.once(key, lambda: lesson(context, cell, step, partial(_place, context, cell, step)))
    return one_training(context, cell, asked, name, models, _settings(context, cell, asked), cell.labels)


def _place(context: Context, cell: Cell, step: Step, field: str) -> Position:
    return context.catalog.at("methods", cell.method, (*step.path, field))


@dataclass(frozen=True, slots=True)
class Lesson:
    """What trainings of a step have in common that begin from one start: the algorithm and its part of a backend, how it is
    run, what it is given, what it costs with so many settings, and where the stage says so. `layer` is the source, if a domain
    in it sets something of the algorithm."""

    step: Step
    algorithm: Algorithm
    part: Part
    execution: Tree
    given: Mapping[str, Any]
    cost: Known[Cost]
    layer: str
    at: Position
    data_at: Position
    teacher_at: Position


def lesson(context: Context, cell: Cell, step: Step, place: Callable[[str], Position]) -> Lesson:
    """What the trainings of a step share with those of other cells. `place` says where the stage's fields stand."""
    stage, at, data_at = step.stage, place("algorithm"), place("dataset")
    algorithm = context.catalog.get(Algorithm, stage.algorithm, at)
    what = algorithm.trainer or stage.algorithm
    part = context.workshop.part(algorithm.backend, what, context.catalog.at("algorithms", stage.algorithm, ("backend",)))
    if is_own(algorithm.backend):
        context.warn_unless_known("algorithms", what, "algorithm")
    of_domain = any(context.below("domains", name, ("algorithms", stage.algorithm)).data for name in _domains(step.source))
    pace = paced(stage.algorithm, algorithm, cell.scale, context.workshop.cluster.resources.get(algorithm.resources))
    return Lesson(
        step=step, algorithm=algorithm, part=part, execution=context.below("algorithms", stage.algorithm, ("execution",)),
        given={**grader(context, step.source), "prompt": context.prompt(cell), **_given_teacher(stage)},
        cost=Known(partial(planned, pace, part, examples(context, step, data_at))),
        layer=step.source.name if of_domain else "", at=at, data_at=data_at, teacher_at=place("teacher"),
    )  # fmt: skip


def one_training(
    context: Context, cell: Cell, asked: Lesson, name: str, models: Models, settings: Tree, labels: Mapping[str, str] | None
) -> Training:
    """A training of a lesson's algorithm on its dataset, from `models.previous`. `labels` are the axes of the cell that it is
    for."""
    step, part, algorithm = asked.step, asked.part, asked.algorithm
    if part.begins:
        _check_begins(context, cell, step, models, part.begins, asked.at)
    data = dataset(context, cell, step, models, part, asked.data_at)
    taught = _teacher(context, step, part, settings, asked.teacher_at)
    job = context.workshop.make(
        Request(
            id=f"train/{name}", kind="train", backend=part.backend, what=part.what, settings=settings,
            execution=asked.execution, resources=algorithm.resources,
            inputs={"start": models.previous, "data": data.job, **taught}, cell=labels,
            whose=f"algorithm {step.stage.algorithm}", asked=asked.at, output=_output(context, cell, part, settings),
            given=asked.given, cost=asked.cost,
        )
    )  # fmt: skip
    return Training(step, name, models.previous, data, job, context.workshop.costs.get(job.id, Cost()), asked.at)


def _check_begins(context: Context, cell: Cell, step: Step, models: Models, wanted: Begins, asked: Position) -> None:
    """An algorithm that begins from one type of checkpoint alone must be given it; a study can mend what its start is."""
    model = models.previous
    if model.output != wanted.type:
        at = context.axis_value("start", cell.start) if step.path and model is models.start else asked
        message = f"algorithm '{step.stage.algorithm}' begins from a {wanted.type}; '{model.id}' makes a {model.output}"
        raise spec_error(at, message, wanted.otherwise)


def _teacher(context: Context, step: Step, part: Part, settings: Tree, at: Position) -> dict[str, Job]:
    """The input `teacher`, for an algorithm that learns from another model: what the stage names, or a setting on top of it."""
    named = step.stage.teacher
    if TEACHER not in part.takes("settings"):
        if named is not None:
            context.wrong(at, f"algorithm '{step.stage.algorithm}' learns from no other model", "leave teacher out")
        return {}
    if TEACHER in settings.data:
        named, at = str(settings.data[TEACHER]), settings.at((TEACHER,))
    return {} if named is None else {"teacher": teacher(context, named, at)}


def _given_teacher(stage: Stage) -> dict[str, str]:
    return {} if stage.teacher is None else {TEACHER: stage.teacher}


def _output(context: Context, cell: Cell, part: Part, settings: Tree) -> str | None:
    """What a training makes: with an adapter, the adapter alone."""
    if not (isinstance(settings.data, dict) and settings.data.get("adapter")):
        return None
    if part.adapter_output is None:
        at = settings.key_at(("adapter",))
        context.wrong(at, f"backend '{part.backend}' cannot train adapters with '{part.what}'", "train all weights there")
    return part.adapter_output


# --- the checkpoints of a training ---------------------------------------------------------------------------------


def _from(context: Context, cell: Cell, step: Step, done: Sequence[Training]) -> Job:
    """The checkpoint of the training before that a step begins from."""
    point = step.stage.init_from
    if point == "final" or step.round:
        return readable(context, done[-1], None)
    at = context.catalog.at("methods", cell.method, (*step.path, "init_from"))
    return readable(context, done[-1], at_step(context, point, done[-1], at))


def at_step(context: Context, point: Point, trained: Training, asked: Position) -> int | None:
    """The step that a point of a training means; None is its end. Raises SpecError when there is no such step."""
    last = trained.cost.steps
    if last is None and context.workshop.wrong:
        return None  # it is not known because of what is told already
    if point.step is not None and last is None:
        return point.step
    if last is None:
        message = f"how many steps '{trained.name}' takes is not known before its data is there"
        raise spec_error(asked, message, f"give its domain `examples: {{{trained.step.stage.dataset}: N}}`, or name a step")
    if point.step is not None:
        found = point.step
    elif point.epoch is not None:
        found = round(point.epoch * (trained.cost.steps_an_epoch or 0))
    else:
        found = max(1, round((point.fraction or 0) * last))
    if not 1 <= found <= last:
        raise spec_error(asked, f"'{trained.name}' takes {last} steps, so there is no checkpoint at step {found}")
    return None if found == last else found


def readable(context: Context, trained: Training, step: int | None) -> Job:
    """A checkpoint that every consumer reads: merged from shards, merged from an adapter, or picked from a run."""
    made = trained.job
    if made.output in (READABLE, RECORDED) and step is None:
        return made
    if step is not None:
        context.workshop.keep(made, step, trained.asked)
    kinds = {"checkpoint.shards": ("convert", "shards"), "checkpoint.adapter": ("merge", "adapter")}
    kind, name = kinds.get(made.output, ("pick", "run"))
    inputs = {"start": trained.start} if kind == "merge" else {}
    return context.workshop.make(
        Request(
            id=f"{kind}/{trained.name}" + ("" if step is None else f".step{step}"), kind=kind, what=kind,
            backend=made.backend if kind == "convert" else "native", resources="cpu", cell=made.cell,
            inputs={**inputs, name: made}, whose="checkpoint", asked=trained.asked, output=READABLE, given={"step": step},
        )
    )  # fmt: skip


# --- settings ------------------------------------------------------------------------------------------------------


def _settings(context: Context, cell: Cell, asked: Lesson) -> Tree:
    """The settings of a step of a cell; for all cells whose layers are the same the very same."""
    overrides = map(id, cell.overrides)  # objects that live as long as their cell
    key = (cell.method, *asked.step.path, asked.layer, cell.adapter, *overrides)
    if key not in context.settings:
        context.settings[key] = _layered(context, cell, asked.step, asked.part)
        context.kept.append(cell)
    return context.settings[key]


def _domains(source: Source) -> Sequence[str]:
    """The domains whose definitions may set something of what reads this source."""
    return [source.domain, *source.parts]


def _layered(context: Context, cell: Cell, step: Step, part: Part) -> Tree:
    """An algorithm's settings, then the domain's, the method's, the adapter's, the axes' and the rules', in that order."""
    name = step.stage.algorithm
    settings = context.below("algorithms", name, ("settings",))
    for layer in domain_settings(context, step.source, name):
        settings = merged(settings, layer)
    if step.stage.settings:
        own = context.below("methods", cell.method, (*step.path, "settings")).labelled(f"method {cell.method}")
        settings = merged(settings, own)
    settings = merged(settings, _adapter(context, cell)) if cell.adapter else settings
    for override in cell.overrides:
        if override.algorithm in (None, name) and (override.algorithm or override.setting in part.takes("settings")):
            settings = merged(settings, override.tree)
    return settings


def domain_settings(context: Context, source: Source, algorithm: str) -> list[Tree]:
    """What a domain sets of an algorithm; a mix has what its parts agree on, and must say the rest itself."""
    own = context.below("domains", source.domain, ("algorithms", algorithm)).labelled(f"domain {source.domain}")
    if source.plain:
        return [own] if own.data else []
    parts = [context.below("domains", part, ("algorithms", algorithm)).labelled(f"domain {part}") for part in source.parts]
    for key in sorted({key for part in parts for key in part.data} - set(own.data)):
        if any(part.data.get(key) != parts[0].data.get(key) for part in parts):
            at = context.catalog.at("domains", source.domain)
            values = ", ".join(f"{name}: {p.data.get(key)}" for name, p in zip(source.parts, parts, strict=True))
            message = f"the parts of domain '{source.domain}' differ in '{key}' of algorithm '{algorithm}' ({values})"
            context.wrong(at, message, f"say it: algorithms: {{{algorithm}: {{{key}: ...}}}} in '{source.domain}'")
    return [layer for layer in (parts[0], own) if layer.data]


def _adapter(context: Context, cell: Cell) -> Tree:
    """An adapter as the setting of that name."""
    name = str(cell.adapter)
    found = context.catalog.get(Adapter, name, context.axis_value("adapter", name))
    if found.settings is None:
        return EMPTY
    below = context.below("adapters", name, ("settings",))
    values = {("adapter", *path): at for path, at in below.values.items()}
    keys = {("adapter", *path): at for path, at in below.keys.items()}
    return Tree(below.file, {"adapter": below.data}, values, keys).labelled(f"adapter {name}")


def _check_overrides(context: Context, cell: Cell, recipe: Sequence[Step]) -> None:
    """A setting for an algorithm that a cell does not have, or that none of its algorithms takes, would be silently lost."""
    algorithms = list(dict.fromkeys(step.stage.algorithm for step in recipe))
    for override in cell.overrides:
        if override.algorithm is None:
            check = partial(_check_taken, context, cell, override.setting, override.source, override.at, algorithms)
            context.once(("taken", cell.method, *algorithms, id(override)), check)  # it lives as long as its cell
        elif override.algorithm not in algorithms:
            message = f"{override.source}: method '{cell.method}' has no algorithm '{override.algorithm}' to set"
            context.wrong(override.at, message, nearest(override.algorithm, algorithms))


def _check_taken(context: Context, cell: Cell, setting: str, source: str, at: Position, algorithms: Sequence[str]) -> None:
    taken: set[str] = set()
    for name in algorithms:
        algorithm = context.catalog.models.get(("algorithms", name))
        if not isinstance(algorithm, Algorithm):
            return  # told where the method names it
        backend_at = context.catalog.at("algorithms", name, ("backend",))
        taken |= context.workshop.part(algorithm.backend, algorithm.trainer or name, backend_at).takes("settings")
    if setting not in taken:
        message = f"{source}: no algorithm of method '{cell.method}' ({', '.join(algorithms)}) takes a setting '{setting}'"
        hint = nearest(setting, [*taken, "adapter", "seed"])
        context.workshop.wrong.append(Diagnostic(at, message, hint))
