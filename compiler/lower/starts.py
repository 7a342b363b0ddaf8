"""Models that a plan begins from: fetched from the hub, pre-trained by the plan, or a teacher's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compiler.diagnostics import Position, spec_error
from compiler.fitness.models import Model, of_teacher
from compiler.language.definitions import Pretrain, Teacher
from compiler.language.source import PathKey, Tree
from compiler.lower.context import Context
from compiler.lower.workshop import Request
from compiler.plan.plan import Job


def hub_or_pretrained(context: Context, name: str, scale: str, asked: Position | None = None) -> Job:
    """A start that no method makes."""
    start = context.start(name, scale, asked)
    if start.pretrain:
        return _pretrain(context, name, scale, start.pretrain)
    at = context.catalog.at("scales", scale, ("starts", name))
    model, given = context.model(name, scale), {"prompt": start.prompt}
    return _fetch(context, f"{name}_{scale}", (start.hub, start.revision), at, model, given)


def teacher(context: Context, name: str, asked: Position) -> Job:
    """A teacher's checkpoint, which `asked` names."""
    found = context.catalog.get(Teacher, name, asked)
    return _fetch(context, name, (found.hub, found.revision), context.catalog.at("teachers", name), of_teacher(name, found), {})


def listed_rows(context: Context, section: str, name: str, path: PathKey, domains: Sequence[str]) -> dict[str, Job]:
    """The rows of every domain that a definition lists at `path`: inputs with the domains' names."""
    found = {}
    for number, domain in enumerate(domains):
        at = context.catalog.at(section, name, (*path, number))
        found[domain] = rows(context, domain, at)
    return found


def rows(context: Context, domain: str, asked: Position | None = None) -> Job:
    """A domain's rows, by a job whose schema is that of their source. Raises SpecError for a combination, which has none."""
    known = context.workshop.jobs.get(f"prepare/{domain}")
    if known is not None:
        return known
    found = context.domain(domain, asked)
    at = asked or context.axis_value("domain", domain)
    if domain in ("model", "start", "reference"):
        raise spec_error(at, f"no domain can be called '{domain}' here: a job has an input of that name", "rename it")
    if found.settings is None:
        raise spec_error(at, f"domain '{domain}' is a combination and has no rows of its own", "name its parts")
    source = str(found.settings.get("source"))
    context.warn_unless_known("sources", source, "data source")
    special = context.workshop.has_part("native", f"prepare_{source}")
    return context.workshop.make(
        Request(
            id=f"prepare/{domain}", kind="prepare", backend="native", resources="cpu",
            what=f"prepare_{source}" if special else "prepare",
            settings=context.below("domains", domain, ("settings",)), whose=f"domain {domain}",
            asked=context.catalog.at("domains", domain),
        )
    )  # fmt: skip


def _pretrain(context: Context, name: str, scale: str, made: Pretrain) -> Job:
    """A start model that the plan trains itself, on whole rows."""
    path: PathKey = ("starts", name, "pretrain")
    inputs = listed_rows(context, "scales", scale, (*path, "domains"), made.domains)
    if made.start is not None:
        inputs["start"] = hub_or_pretrained(context, made.start, scale)
    return context.workshop.make(
        Request(
            id=f"pretrain/{name}_{scale}", kind="pretrain", backend="native", what="pretrain", inputs=inputs,
            settings=context.below("scales", scale, (*path, "settings")), resources=made.resources,
            whose=f"start {name} of scale {scale}", asked=context.catalog.at("scales", scale, path),
            model=context.model(name, scale),
        )
    )  # fmt: skip


def _fetch(
    context: Context, name: str, hub_model: tuple[str | None, str | None], at: Position, model: Model | None,
    given: Mapping[str, Any],
) -> Job:  # fmt: skip
    """A hub model at a revision."""
    hub, revision = hub_model
    if hub is None or revision is None:
        raise spec_error(at, "a start needs 'hub' and 'revision', or 'pretrain', or 'trained'")
    settings = Tree(at.file, {"hub": hub, "revision": revision}, {(): at}).labelled(f"model {hub}")
    return context.workshop.make(
        Request(
            id=f"fetch/{name}", kind="fetch", backend="native", what="fetch", settings=settings, resources="cpu",
            whose=f"model {hub}", asked=at, given=given, model=model,
        )
    )  # fmt: skip
