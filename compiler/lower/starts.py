"""Models that a plan begins from: fetched from the hub or out of a package, pre-trained by the plan, or a teacher's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compiler.diagnostics import Position, spec_error
from compiler.fitness.models import Model, of_teacher
from compiler.language.definitions import Pretrain, Start, Teacher
from compiler.language.source import PathKey, Tree
from compiler.lower.context import Context
from compiler.lower.workshop import Request
from compiler.plan.plan import Job

PACKAGED = "'package', 'version' and 'sha256'"


def hub_or_pretrained(context: Context, name: str, scale: str, asked: Position | None = None) -> Job:
    """A start that no method makes."""
    start = context.start(name, scale, asked)
    if start.pretrain:
        place = ("scales", scale, ("starts", name, "pretrain"))
        model, whose = context.model(name, scale), f"start {name} of scale {scale}"
        before = hub_or_pretrained(context, start.pretrain.start, scale) if start.pretrain.start else None
        return _pretrain(context, f"{name}_{scale}", place, start.pretrain, whose, model, before)
    at = context.catalog.at("scales", scale, ("starts", name))
    model, given = context.model(name, scale), {"prompt": start.prompt}
    if start.package is not None:
        return _out_of_package(context, f"{name}_{scale}", start, at, model)
    return _fetch(context, f"{name}_{scale}", (start.hub, start.revision), at, model, given)


def teacher(context: Context, name: str, asked: Position) -> Job:
    """A teacher's checkpoint, which `asked` names."""
    found = context.catalog.get(Teacher, name, asked)
    if found.pretrain:
        place = ("teachers", name, ("pretrain",))
        return _pretrain(context, name, place, found.pretrain, f"teacher {name}", of_teacher(name, found))
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


def _pretrain(
    context: Context, name: str, place: tuple[str, str, PathKey], made: Pretrain, whose: str, model: Model | None,
    start: Job | None = None,
) -> Job:  # fmt: skip
    """A model that the plan trains itself, on whole rows; `place` is where the catalog says so."""
    section, definition, path = place
    inputs = listed_rows(context, section, definition, (*path, "domains"), made.domains)
    inputs |= {"start": start} if start else {}
    return context.workshop.make(
        Request(
            id=f"pretrain/{name}", kind="pretrain", backend="native", what="pretrain", inputs=inputs,
            settings=context.below(section, definition, (*path, "settings")), resources=made.resources,
            whose=whose, asked=context.catalog.at(section, definition, path), model=model,
        )
    )  # fmt: skip


def _fetch(
    context: Context, name: str, hub_model: tuple[str | None, str | None], at: Position, model: Model | None,
    given: Mapping[str, Any],
) -> Job:  # fmt: skip
    """A hub model at a revision."""
    hub, revision = hub_model
    if hub is None or revision is None:
        raise spec_error(at, f"a start needs 'hub' and 'revision', or {PACKAGED}, or 'pretrain', or 'trained'")
    settings = Tree(at.file, {"hub": hub, "revision": revision}, {(): at}).labelled(f"model {hub}")
    return context.workshop.make(
        Request(
            id=f"fetch/{name}", kind="fetch", backend="native", what="fetch", settings=settings, resources="cpu",
            whose=f"model {hub}", asked=at, given=given, model=model,
        )
    )  # fmt: skip


def _out_of_package(context: Context, name: str, start: Start, at: Position, model: Model) -> Job:
    """A model that a Python package holds, of one version, known by its file's hash."""
    if start.hub is not None or start.revision is not None:
        raise spec_error(
            at, "a start comes from the hub or out of a package, not both", f"give 'hub' and 'revision', or {PACKAGED}"
        )
    if start.version is None or start.sha256 is None:
        raise spec_error(
            at, f"a start out of a package needs {PACKAGED}", "sha256sum tells the hash of the package's GGUF file"
        )
    named = {"package": start.package, "version": start.version, "sha256": start.sha256}
    settings = Tree(at.file, named, {(): at}).labelled(f"package {start.package}")
    return context.workshop.make(
        Request(
            id=f"fetch/{name}", kind="fetch", backend="native", what="fetch_package", settings=settings, resources="cpu",
            whose=f"model of package {start.package}", asked=at, given={"prompt": start.prompt}, model=model,
        )
    )  # fmt: skip
