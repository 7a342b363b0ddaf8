"""What trainings read: rows, sampled answers, and the datasets built from them; mixed where a domain is a mix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compiler.backends import Part
from compiler.cells.cell import Cell
from compiler.diagnostics import Position, spec_error
from compiler.language.definitions import Dataset, Traces
from compiler.language.source import Tree, merged
from compiler.lower.context import Context
from compiler.lower.cost import mixed, part_of
from compiler.lower.recipes import Source, Step
from compiler.lower.starts import rows, teacher
from compiler.lower.workshop import Request
from compiler.plan.plan import Job

OWN = ("start", "previous")  # words for models of the cell itself; anything else is a teacher
BY_ROW = "by_row"  # the grader of a mix: each row has its own


@dataclass(frozen=True, slots=True)
class Models:
    """The models whose answers a dataset may need, and the answers of the round before, by part."""

    start: Job
    previous: Job
    before: Mapping[str, Job]


@dataclass(frozen=True, slots=True)
class Data:
    """A training's dataset, and the answers it was built from, by part."""

    job: Job
    traces: Mapping[str, Job]


def dataset(context: Context, cell: Cell, step: Step, models: Models, part: Part, asked: Position) -> Data:
    """What a step trains on, of the type and in the format that its algorithm's backend reads."""
    before = tuple((domain, id(job)) for domain, job in models.before.items())
    read = (id(step.source), id(models.start), id(models.previous), *before, cell.start, cell.scale)  # a plan's jobs stay
    key = ("dataset", step.stage.dataset, step.stage.algorithm, part.backend, part.what, *read)
    return context.once(key, lambda: _dataset(context, cell, step, models, part, asked))


def _dataset(context: Context, cell: Cell, step: Step, models: Models, part: Part, asked: Position) -> Data:
    name = step.stage.dataset
    found = context.catalog.get(Dataset, name, asked)
    _check_type(context, name, found, part, step.stage.algorithm, asked)
    built, traces = {}, {}
    for domain in step.source.parts:
        built[domain], sampled = _build(context, cell, step, domain, models, part.dataset_format, asked)
        traces.update({domain: sampled} if sampled else {})
    if step.source.plain:
        return Data(built[step.source.domain], traces)
    return Data(_mix(context, step.source, name, found, built, part.dataset_format), traces)


def grader(context: Context, source: Source) -> dict[str, str]:
    """How a training's answers are graded, for whatever asks for it."""
    return graded(context.domain(source.domain).grader if source.plain else BY_ROW)


def graded(name: str | None) -> dict[str, str]:
    """A grader as something given; where nothing is graded, nothing is."""
    return {"grader": name} if name else {}


def _check_type(context: Context, name: str, found: Dataset, part: Part, algorithm: str, asked: Position) -> None:
    if found.type == part.reads:
        return
    message = f"algorithm '{algorithm}' trains on {part.reads}; dataset '{name}' is {found.type}"
    names = context.catalog.names("datasets")
    fitting = [known for known in names if context.catalog.get(Dataset, known, asked).type == part.reads]
    raise spec_error(asked, message, f"valid here: {', '.join(sorted(fitting))}")


def _build(
    context: Context, cell: Cell, step: Step, domain: str, models: Models, file_format: str, asked: Position
) -> tuple[Job, Job | None]:
    """The dataset of one domain with rows of its own, and the answers it is built from."""
    name = step.stage.dataset
    found = context.catalog.get(Dataset, name, asked)
    inputs, sampled = {"rows": rows(context, domain)}, None
    artifact = f"{name}_{domain}"
    if found.traces:
        sampled = inputs["traces"] = _traces(context, cell, step, domain, found.traces, models)
        artifact = _named(name, domain, found.traces, models)
        if found.traces.rounds > 1 and domain in models.before:
            inputs["traces_before"] = models.before[domain]
    what = f"build_{found.type.removeprefix('dataset.')}"
    given = {"type": found.type, "format": file_format, "domain": domain, **graded(context.domain(domain).grader)}
    job = context.workshop.make(
        Request(
            id=f"build/{artifact}" + (f".{file_format}" if file_format != "jsonl" else ""), kind="build", backend="native",
            what=what if context.workshop.has_part("native", what) else "build",
            settings=context.below("datasets", name, ("settings",)), resources="cpu", inputs=inputs,
            whose=f"dataset {name}", asked=asked, output=found.type, given={**given, "prompt": context.prompt(cell)},
        )
    )  # fmt: skip
    return job, sampled


def _named(name: str, domain: str, traces: Traces, models: Models) -> str:
    """What answers for a dataset of a domain are called, and what is built of them: whose they are, where a cell decides."""
    own = _own(traces, models)
    return f"{name}_{domain}" + (f"_{own.name}" if own else "")


def _own(traces: Traces, models: Models) -> Job | None:
    """The model of the cell itself that answers; None where a teacher does."""
    return {"start": models.start, "previous": models.previous}.get(traces.model)


def _traces(context: Context, cell: Cell, step: Step, domain: str, traces: Traces, models: Models) -> Job:
    """Sampled, graded answers to a domain's questions, of the cell's own model or of a teacher."""
    name = step.stage.dataset
    asked, named = (context.catalog.at("datasets", name, path) for path in ((), ("traces", "model")))
    own = _own(traces, models)
    what = f"generate_{context.catalog.get(Dataset, name, asked).type.removeprefix('dataset.')}"
    settings = context.below("datasets", name, ("traces", "settings"))
    if name in context.domain(domain).datasets:
        settings = merged(settings, context.below("domains", domain, ("datasets", name)).labelled(f"domain {domain}"))
    return context.workshop.make(
        Request(
            id=f"generate/{_named(name, domain, traces, models)}", kind="generate", backend=traces.backend,
            what=what if context.workshop.has_part(traces.backend, what) else "generate",
            settings=settings, resources=traces.resources,
            execution=context.below("datasets", name, ("traces", "execution")),
            inputs={"model": own or teacher(context, traces.model, named), "rows": rows(context, domain)},
            whose=f"traces of dataset {name}", asked=context.catalog.at("datasets", name, ("traces", "backend")),
            given={**graded(context.domain(domain).grader), "prompt": context.prompt(cell)},
        )
    )  # fmt: skip


def _mix(context: Context, source: Source, name: str, found: Dataset, built: Mapping[str, Job], file_format: str) -> Job:
    """One dataset of several: in shares, or all of them pooled and cut."""
    at = context.catalog.at("domains", source.domain)
    parts = [
        {"name": domain, "share": share, "grader": context.domain(domain).grader} for domain, share in source.parts.items()
    ]
    shard = None if source.shard is None else {"index": source.shard[0], "of": source.shard[1]}
    settings: dict[str, Any] = {
        "type": found.type, "format": file_format, "parts": parts, "shard": shard,
        "seed": context.domain(source.domain).seed,
    }  # fmt: skip
    suffix = next(job.name.removeprefix(f"{name}_{domain}") for domain, job in built.items())  # whose answers, and the format
    return context.workshop.make(
        Request(
            id=f"mix/{name}_{source.name}{suffix}", kind="mix", backend="native", what="mix", resources="cpu",
            inputs=dict(built), settings=Tree(at.file, settings, {(): at}).labelled(f"domain {source.domain}"),
            whose=f"domain {source.domain}", asked=at, output=found.type,
        )
    )  # fmt: skip


def examples(context: Context, step: Step, asked: Position) -> int | None:
    """How many rows a step's dataset has; None where only sampling will tell."""
    source = step.source
    sizes = [_rows_of(context, step.stage.dataset, domain, asked) for domain in source.parts]
    return part_of(mixed(sizes, list(source.parts.values())), source.shard)


def _rows_of(context: Context, name: str, domain: str, asked: Position) -> int | None:
    """How many rows a dataset has of one domain: as the domain says, or all of its training rows up to a limit."""
    found, of = context.catalog.get(Dataset, name, asked), context.domain(domain)
    if name in of.examples:
        return of.examples[name]
    everything = (of.settings or {}).get("train")
    if found.traces is not None or not isinstance(everything, int) or isinstance(everything, bool):
        return None
    limit = found.settings.get("limit")
    return min(everything, limit) if isinstance(limit, int) and not isinstance(limit, bool) else everything
