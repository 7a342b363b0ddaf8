"""The catalog: named definitions that a study picks from, and may replace or extend.

Definitions come from the folders that a study names, each on top of the one before, and from its own `define` on top of
all. A definition is complete, and then replaces one of its name from below; or it says `extends: NAME` and gives only what
differs: mappings merge key by key, lists and single values replace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field

from compiler.diagnostics import Diagnostic, Position, SpecError, closest, nearest, spec_error
from compiler.slurm import memory, time_limit
from compiler.source import PathKey, Tree, read_tree
from compiler.study import Name
from compiler.validation import Strict, parse

Settings = dict[str, Any]


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError(f"'{value}' is no name of a shell variable")
    return value


def _word(value: str) -> str:
    """Words of #SBATCH lines stand there without quotes."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.,:-]*", value):
        raise ValueError(f"'{value}' is no word that Slurm takes here")
    return value


Variable = Annotated[str, AfterValidator(_variable)]
Word = Annotated[str, AfterValidator(_word)]


class Stage(Strict):
    """One training: an algorithm on a dataset."""

    algorithm: Name
    dataset: Name
    settings: Settings = Field(default_factory=dict)


class Method(Strict):
    """A recipe: stages in order, each from the checkpoint of the one before."""

    about: str
    stages: list[Stage] = Field(min_length=1)


class Algorithm(Strict):
    """What a stage optimises, its settings, and the backend that runs it."""

    about: str
    backend: Name
    settings: Settings
    execution: Settings = Field(default_factory=dict)
    resources: Name


class Traces(Strict):
    """Sampling that a dataset needs first: from the cell's start model, or from a teacher."""

    model: Name
    backend: Name
    settings: Settings
    execution: Settings = Field(default_factory=dict)
    resources: Name


class Dataset(Strict):
    """How a stage's training data is made from a domain."""

    about: str
    type: Literal["dataset.sft", "dataset.preference", "dataset.rl", "dataset.privileged"]
    settings: Settings
    traces: Traces | None = None


class Teacher(Strict):
    """A hub model that answers a domain's questions."""

    about: str
    hub: str
    revision: str


class Domain(Strict):
    """A source of rows with a grader, and what it asks of algorithms and datasets."""

    about: str
    grader: Literal["math", "code", "qa", "refusal"]
    settings: Settings
    algorithms: dict[Name, Settings] = Field(default_factory=dict)
    datasets: dict[Name, Settings] = Field(default_factory=dict)


class Pretrain(Strict):
    """A start model trained by the plan itself, on rows of these domains, from `start` or from nothing."""

    domains: list[Name] = Field(min_length=1)
    start: Name | None = None
    settings: Settings
    resources: Name = "train"


class Start(Strict):
    """One model to begin from: a hub model at a revision, or one pre-trained by the plan."""

    hub: str | None = None
    revision: str | None = None
    prompt: Settings
    pretrain: Pretrain | None = None


class Scale(Strict):
    """One model size, with its start models."""

    about: str
    parameters: float
    starts: dict[Name, Start]


class Suite(Strict):
    """The tasks that checkpoints are measured on."""

    about: str
    backend: Name
    domains: list[Name] = Field(default_factory=list)
    settings: Settings
    execution: Settings = Field(default_factory=dict)
    resources: Name


class Environment(Strict):
    """What a job's shell loads before it runs."""

    modules: list[str] = Field(default_factory=list)
    activate: str | None = None
    exports: dict[Variable, str] = Field(default_factory=dict)
    unsets: list[Variable] = Field(default_factory=list)


class Resources(Strict):
    """What one class of jobs asks of the cluster. `time` is Slurm's, `mem` with its unit."""

    partition: Word | None = None
    time: Annotated[str, AfterValidator(time_limit)]
    cpus: int = Field(ge=1)
    mem: Annotated[str, AfterValidator(memory)]
    gpus: int = Field(default=0, ge=0)
    gpu: Word | None = None


class Limits(Strict):
    """Caps of the site on one user."""

    submitted: int = Field(ge=1)


class Cluster(Strict):
    """A place that runs jobs, as data."""

    about: str
    executor: Literal["slurm", "local"]
    store: str
    account: Word | None = None
    gpu_request: Literal["gres", "gpus_per_node"] = "gres"
    limits: Limits
    kill_on_invalid_dep: bool = False
    environments: dict[Name, Environment]
    resources: dict[Name, Resources]


SECTIONS: Mapping[str, type[Strict]] = {
    "methods": Method,
    "algorithms": Algorithm,
    "datasets": Dataset,
    "teachers": Teacher,
    "domains": Domain,
    "scales": Scale,
    "suites": Suite,
    "clusters": Cluster,
}

Definition = TypeVar("Definition", bound=Strict)
Key = tuple[str, str]  # a definition's section and name


@dataclass(frozen=True)
class Catalog:
    """Every definition a study can name, with where each of its values stands."""

    models: Mapping[Key, Strict]
    trees: Mapping[Key, Tree]

    def get(self, kind: type[Definition], name: str, asked: Position) -> Definition:
        """The definition of that kind and name. Raises SpecError at `asked`, the place that names it."""
        section = next(s for s, model in SECTIONS.items() if model is kind)
        found = self.models.get((section, name))
        if isinstance(found, kind):
            return found
        raise spec_error(asked, f"there is no {section[:-1]} '{name}'", nearest(name, self.names(section)))

    def names(self, section: str) -> list[str]:
        """The names that a section defines."""
        return [name for found, name in self.models if found == section]

    def at(self, section: str, name: str, path: PathKey = ()) -> Position:
        """Where a value of a definition stands."""
        return self.trees[section, name].at(path)

    def below(self, section: str, name: str, path: PathKey) -> Tree:
        """A part of a definition."""
        return self.trees[section, name].below(path)


def read_catalog(folders: Sequence[Path], study: Tree) -> Catalog:
    """The definitions in `folders`, later folders and then the study's own on top. Raises SpecError."""
    layers = [_layer(folder) for folder in folders]
    if study.data.get("define"):
        layers.append(_definitions(study.below(("define",))))
    trees: dict[Key, Tree] = {}
    for layer in layers:
        trees.update({key: _whole(key, layer, trees) for key in layer})
    models: dict[Key, Strict] = {}
    wrong: list[Diagnostic] = []
    for key, tree in sorted(trees.items()):
        try:
            models[key] = parse(SECTIONS[key[0]], tree)
        except SpecError as error:
            wrong.extend(error.diagnostics)
    catalog = Catalog(models, trees)
    wrong = wrong or list(_lost_settings(catalog))
    if wrong:
        raise SpecError(wrong)
    return catalog


def _lost_settings(catalog: Catalog) -> Iterable[Diagnostic]:
    """What domains set of algorithms that there are not, and of datasets whose traces take nothing from a domain."""
    sampled = [name for (_, name), model in catalog.models.items() if isinstance(model, Dataset) and model.traces]
    algorithms = catalog.names("algorithms")
    for (_, name), model in catalog.models.items():
        if isinstance(model, Domain):
            yield from _unknown(catalog, name, "algorithms", model.algorithms, algorithms, "algorithm")
            yield from _unknown(catalog, name, "datasets", model.datasets, sampled, "dataset with traces")


def _unknown(
    catalog: Catalog, domain: str, field: str, names: Iterable[str], known: Sequence[str], what: str
) -> Iterable[Diagnostic]:
    for name in names:
        if name not in known:
            at = catalog.trees["domains", domain].key_at((field, name))
            yield Diagnostic(at, f"domain '{domain}' sets '{name}', and there is no such {what}", nearest(name, known))


def _layer(folder: Path) -> dict[Key, Tree]:
    """Every definition in `folder`. A name defined twice in one section is an error."""
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise spec_error(Position(str(folder)), "the catalog's folder holds no YAML file", "see 'catalog' in the spec")
    trees: dict[Key, Tree] = {}
    for file in files:
        for key, tree in _definitions(read_tree(file)).items():
            if key in trees:
                first = trees[key].key_at(())
                raise spec_error(tree.key_at(()), f"{key[0][:-1]} '{key[1]}' is defined twice", f"first at {first}")
            trees[key] = tree
    return trees


def _definitions(tree: Tree) -> dict[Key, Tree]:
    """The definitions of one file or of a study's `define`, with their section's name checked."""
    found: dict[Key, Tree] = {}
    for section, entries in tree.data.items():
        if section not in SECTIONS:
            raise spec_error(tree.key_at((section,)), f"unknown section '{section}'", nearest(section, SECTIONS))
        if not isinstance(entries, dict):
            raise spec_error(tree.at((section,)), f"section '{section}' must map names to definitions")
        found.update({(section, name): tree.below((section, name)) for name in entries})
    return found


def _whole(key: Key, layer: Mapping[Key, Tree], below: Mapping[Key, Tree], chain: tuple[str, ...] = ()) -> Tree:
    """A definition of a layer on top of what it extends: another one of the layer, wherever it stands, or one from below."""
    tree, (section, name) = layer[key], key
    parent = _parent(tree, section)
    if parent is None:
        return tree
    at = tree.at(("extends",))
    if name in chain:
        raise spec_error(at, f"definitions extend each other in a circle: {' -> '.join([*chain, name])}")
    data = {field: value for field, value in tree.data.items() if field != "extends"}
    over = Tree(tree.file, data, tree.values, tree.keys)
    if parent != name and (section, parent) in layer:
        return merged(_whole((section, parent), layer, below, (*chain, name)), over)
    if (section, parent) in below:
        return merged(below[section, parent], over)
    names = [known for found, known in [*below, *layer] if found == section and known != name]
    raise spec_error(at, f"there is no {section[:-1]} '{parent}' to extend", nearest(parent, names))


def _parent(tree: Tree, section: str) -> str | None:
    """What a definition says that it extends."""
    if not isinstance(tree.data, dict):
        return None
    slip = closest("extends", set(tree.data) - {"extends", *SECTIONS[section].model_fields})
    if slip:
        raise spec_error(tree.key_at((slip,)), f"unknown key '{slip}'", nearest(slip, ["extends"]))
    return str(tree.data["extends"]) if "extends" in tree.data else None


def merged(under: Tree, over: Tree) -> Tree:
    """`over` on top of `under`: mappings merge key by key, anything else replaces; positions follow the values.

    A mapping of both stands where `under` has it: what it lacks is missing there.
    """
    values = dict(under.values)
    data = _merge(under.data, over.data, (), values)
    return Tree(over.file, data, {**over.values, **values}, {**under.keys, **over.keys})


def _merge(under: Any, over: Any, path: PathKey, values: dict[PathKey, Position]) -> Any:
    if not (isinstance(under, dict) and isinstance(over, dict)):
        for stale in [p for p in values if p[: len(path)] == path]:
            del values[stale]
        return over
    result = dict(under)
    for key, value in over.items():
        result[key] = _merge(under[key], value, (*path, key), values) if key in under else value
    return result
