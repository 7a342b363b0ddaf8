"""Settings of every definition in a catalog, used or not, against what the backends' schemas take.

What a definition lacks is no mistake yet: others may add it. That is checked of each job, with all of its settings together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from compiler import backends
from compiler.diagnostics import Diagnostic, Position, SpecError, nearest, one_slip
from compiler.language.catalog import Catalog
from compiler.language.definitions import (
    DIVERGENCE,
    Adapter,
    Algorithm,
    Dataset,
    Domain,
    Method,
    Scale,
    Settings,
    Suite,
    Traces,
)
from compiler.language.source import PathKey, Tree
from compiler.language.validation import check_schema, shown

NATIVE = "native"


@dataclass(frozen=True)
class _Place:
    """A definition."""

    catalog: Catalog
    section: str
    name: str

    def tree(self, path: PathKey) -> Tree:
        return self.catalog.below(self.section, self.name, path)

    def part(self, backend: str, what: str, path: PathKey) -> backends.Part | Diagnostic:
        """A backend's part, or what is wrong with naming it at `path`."""
        try:
            return backends.part(backend, what, self.catalog.at(self.section, self.name, path))
        except SpecError as error:
            return error.diagnostics[0]

    def check(self, part: backends.Part | Diagnostic, group: str, path: PathKey, whose: str) -> Iterator[Diagnostic]:
        """What is wrong with the settings at `path`, if there are any."""
        if isinstance(part, backends.Part) and _has(self.catalog.trees[self.section, self.name], path):
            schema = part.schema["properties"].get(group, {"type": "object", "additionalProperties": False})
            schema = {**schema, "$defs": part.schema.get("$defs", {})}
            yield from check_schema(schema, self.tree(path), f"{group} of {whose}", whole=False)


def wrong_settings(catalog: Catalog) -> Iterable[Diagnostic]:
    """Every name of a setting that its backend does not take, and every value that it does not."""
    for (section, name), model in catalog.models.items():
        place = _Place(catalog, section, name)
        if isinstance(model, Algorithm):
            yield from _of_algorithm(place, model)
        elif isinstance(model, Adapter):
            yield from _of_adapter(place)
        elif isinstance(model, Method):
            yield from _of_method(place, model)
        elif isinstance(model, Dataset):
            yield from _of_dataset(place, model)
        elif isinstance(model, Domain):
            yield from _of_domain(place, model)
        elif isinstance(model, Scale):
            yield from _of_scale(place, model)
        elif isinstance(model, Suite):
            yield from _of_suite(place, model)


def _of_algorithm(place: _Place, model: Algorithm) -> Iterator[Diagnostic]:
    part = _trainer(place.catalog, place.name)
    if isinstance(part, Diagnostic):
        yield part
    elif part:
        for group in ("settings", "execution"):
            yield from place.check(part, group, (group,), f"algorithm {place.name}")


def _of_adapter(place: _Place) -> Iterator[Diagnostic]:
    """What no trainer of the catalog takes as its adapter: told by the trainer that minds least."""
    found = []
    for section, name in place.catalog.models if _has(place.tree(()), ("settings",)) else ():
        part = _trainer(place.catalog, name) if section == "algorithms" else None
        taken = part.schema["properties"]["settings"]["properties"].get("adapter") if isinstance(part, backends.Part) else None
        if taken and isinstance(part, backends.Part):
            schema = {**taken, "$defs": part.schema.get("$defs", {})}
            found.append(check_schema(schema, place.tree(("settings",)), f"settings of adapter {place.name}", whole=False))
    yield from min(found, key=len, default=[])


def _of_method(place: _Place, model: Method) -> Iterator[Diagnostic]:
    for field, stages in (("stages", model.stages), ("finish", model.finish)):
        for number, stage in enumerate(stages):
            part = _trainer(place.catalog, stage.algorithm)
            if part:
                yield from place.check(part, "settings", (field, number, "settings"), f"algorithm {stage.algorithm}")


def _of_dataset(place: _Place, model: Dataset) -> Iterator[Diagnostic]:
    part = place.part(NATIVE, _special(NATIVE, "build", model.type), ())
    yield from place.check(part, "settings", ("settings",), f"dataset {place.name}")
    if model.traces:
        part = _sampler(place, model, model.traces)
        if isinstance(part, Diagnostic):
            yield part
        for group in ("settings", "execution"):
            yield from place.check(part, group, ("traces", group), f"traces of dataset {place.name}")


def _of_domain(place: _Place, model: Domain) -> Iterator[Diagnostic]:
    if model.settings is not None:
        yield from _of_rows(place, model.settings)
    for name in model.algorithms:
        trainer = _trainer(place.catalog, name)
        if trainer:
            yield from place.check(trainer, "settings", ("algorithms", name), f"algorithm {name}")
    for name in model.datasets:
        dataset = place.catalog.models.get(("datasets", name))
        if isinstance(dataset, Dataset) and dataset.traces:
            sampler = _sampler(place, dataset, dataset.traces)
            yield from place.check(sampler, "settings", ("datasets", name), f"traces of dataset {name}")


def _of_rows(place: _Place, given: Settings) -> Iterator[Diagnostic]:
    """Where a domain's rows come from. The source says what else there is to say, so a wrong one is told alone."""
    values, whose = place.tree(("settings",)), f"domain {place.name}"
    slip = _misspelt("source", given)
    if slip:
        yield _unknown(place, slip, "source", whose)
    elif given.get("source") not in _sources():
        message = f"'source' of the settings of {whose} cannot be {shown(given.get('source'))}"
        yield Diagnostic(values.at(("source",)), message, nearest(str(given.get("source")), _sources()))
    else:
        own = f"prepare_{given['source']}"
        part = place.part(NATIVE, own if backends.exists(NATIVE, own) else "prepare", ())
        yield from place.check(part, "settings", ("settings",), whose)


@cache
def _sources() -> frozenset[str]:
    """The sources of rows: those that share a part, and those that have one of their own."""
    folder = backends.TEMPLATES / "backends" / NATIVE
    own = [file.name.split(".")[0].removeprefix("prepare_") for file in folder.glob("prepare_*.schema.json")]
    shared = backends.part(NATIVE, "prepare", Position(str(folder))).schema["properties"]["settings"]["properties"]["source"]
    return frozenset([*own, *shared["enum"]])


def _of_scale(place: _Place, model: Scale) -> Iterator[Diagnostic]:
    for name, start in model.starts.items():
        if start.pretrain:
            path: PathKey = ("starts", name, "pretrain", "settings")
            part = place.part(NATIVE, "pretrain", path)
            yield from place.check(part, "settings", path, f"start {name} of scale {place.name}")


def _of_suite(place: _Place, model: Suite) -> Iterator[Diagnostic]:
    """Suites of metrics and of a divergence have parts of their own, so a slip in the word that says so is told alone."""
    whose = f"suite {place.name}"
    if model.source is not None and model.source not in _sources():
        at = place.catalog.at(place.section, place.name, ("source",))
        yield Diagnostic(at, f"there is no source '{model.source}'", nearest(model.source, _sources()))
    for word, what in (("metrics", "evaluate_unlearning"), (DIVERGENCE, "evaluate_divergence")):
        slip = _misspelt(word, model.settings)
        if slip and backends.exists(model.backend, what):
            yield _unknown(place, slip, word, whose)
            return
    part = place.part(model.backend, model.what, ("backend",))
    if isinstance(part, Diagnostic):
        yield part
    for group in ("settings", "execution"):
        yield from place.check(part, group, (group,), whose)


def _misspelt(word: str, given: Settings) -> str | None:
    """The key that is most likely meant to be `word`, which is not there."""
    return next((key for key in given if word not in given and one_slip(key, word)), None)


def _unknown(place: _Place, key: str, meant: str, whose: str) -> Diagnostic:
    at = place.tree(("settings",)).key_at((key,))
    return Diagnostic(at, f"unknown key '{key}' in the settings of {whose}", nearest(key, [meant]))


def _trainer(catalog: Catalog, name: str) -> backends.Part | Diagnostic | None:
    """What runs an algorithm; None where its definition is not right."""
    model = catalog.models.get(("algorithms", name))
    if not isinstance(model, Algorithm):
        return None
    path = ("trainer",) if model.trainer and backends.folder_of(model.backend) else ("backend",)
    return _Place(catalog, "algorithms", name).part(model.backend, model.trainer or name, path)


def _sampler(place: _Place, dataset: Dataset, traces: Traces) -> backends.Part | Diagnostic:
    return place.part(traces.backend, _special(traces.backend, "generate", dataset.type), ("traces", "backend"))


def _special(backend: str, what: str, dataset_type: str) -> str:
    """A part for one type of dataset, if the backend has one."""
    own = f"{what}_{dataset_type.removeprefix('dataset.')}"
    return own if backends.exists(backend, own) else what


def _has(tree: Tree, path: PathKey) -> bool:
    data = tree.data
    for step in path:
        if isinstance(data, dict) and step not in data:
            return False
        data = data[step]
    return data is not None
