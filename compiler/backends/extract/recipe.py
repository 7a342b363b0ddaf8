"""What `options.yaml` of a backend asks for, and the schemas that come of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from compiler.backends.extract.annotations import schema_of, told, with_default
from compiler.backends.extract.classes import UNKNOWN, Sources, read_sources
from compiler.backends.extract.hydra import compose, schema_of_tree
from compiler.backends.extract.names import NamesRecipe, names_in
from compiler.backends.extract.wheels import Package, find_package
from compiler.backends.options import DEFS
from compiler.diagnostics import LetheError
from compiler.language.source import read_tree
from compiler.language.study import Name
from compiler.language.validation import Strict, parse

DRAFT = "https://json-schema.org/draft/2020-12/schema"


class Registered(Strict):
    """Classes that the package hands to a function `by`, each behind its name, as the argument `at`."""

    by: str
    at: int = Field(ge=1)


class PartRecipe(Strict):
    """Where one part's options are: a file of a Hydra tree, a class, or several classes, each below a name of its own, ours or
    the package's; `without` the fields that the runtime gives itself."""

    hydra: str | None = None
    options_of: str | dict[Name, str] | Registered | None = Field(default=None, alias="class")
    without: list[str] = Field(default_factory=list)
    at: list[str] = Field(default_factory=list)
    complete: bool = False


class Known(Strict):
    """What the package leaves untyped and Lethe says itself, as JSON Schema; `parts` where not all that have the option."""

    option: str
    says: dict[str, Any]
    source: str = Field(min_length=1)
    parts: list[Name] | None = None


class OptionsFile(Strict):
    """What to extract for a backend. `set_by` are options that the runtime makes from Lethe's own settings, `names` lists of
    names, and `defs` options, that schemas refer to as `#/$defs/NAME`."""

    package: str
    files: list[str]
    others: dict[str, list[str]] = Field(default_factory=dict)
    parts: dict[Name, PartRecipe]
    known: list[Known] = Field(default_factory=list)
    set_by: dict[str, str] = Field(default_factory=dict)
    names: dict[Name, NamesRecipe] = Field(default_factory=dict)
    defs: dict[Name, PartRecipe] = Field(default_factory=dict)


def extracted(file: Path, wheels: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """The schema of each part that an `options.yaml` names, and those under `defs` as `defs/NAME`. Raises LetheError where a
    package or an option is not there."""
    wheels = list(wheels)
    recipe = parse(OptionsFile, read_tree(file))
    package = find_package(recipe.package, wheels)
    others = {find_package(name, wheels): patterns for name, patterns in recipe.others.items()}
    sources = read_sources({package: recipe.files, **others})
    parts = {**recipe.parts, **{f"{DEFS}/{name}": part for name, part in recipe.defs.items()}}
    found = {what: _schema(recipe.package, package, part, sources) for what, part in parts.items()}
    for one in recipe.known:
        _say(found, one)
    for option, setting in recipe.set_by.items():
        for what in _having(found, option, None):
            _at(found[what], option).update({"x-set-by": setting})
    return found


def listed(file: Path, wheels: Iterable[Path]) -> dict[str, list[str]]:
    """The lists of names that an `options.yaml` asks for. Raises LetheError where the package is not there."""
    recipe = parse(OptionsFile, read_tree(file))
    package = find_package(recipe.package, wheels)
    return {name: names_in(package, one) for name, one in recipe.names.items()}


def _schema(name: str, package: Package, part: PartRecipe, sources: Sources) -> dict[str, Any]:
    if part.hydra:
        own = schema_of_tree(compose(package, part.hydra), sources)
    elif isinstance(part.options_of, dict | Registered):
        inner = {key: _of_class(one, sources, part.without) for key, one in _classes(part.options_of, sources).items()}
        own = {"type": "object", "additionalProperties": False, "properties": inner}
    else:
        own = _of_class(str(part.options_of), sources, part.without)
    about = {"x-package": {"name": name, "version": package.version}, "x-at": part.at, "x-complete": part.complete}
    return {"$schema": DRAFT, "title": f"The options of {name} {package.version}", **about, **own}


def _classes(asked: Mapping[str, str] | Registered, sources: Sources) -> Mapping[str, str]:
    return sources.registered(asked.by, asked.at) if isinstance(asked, Registered) else asked


def _of_class(name: str, sources: Sources, without: Iterable[str]) -> dict[str, Any]:
    """The schema of a class's fields, in the order of the class."""
    if name not in sources.classes:
        raise LetheError(f"there is no class {name} in the files that were read")
    properties = {}
    for field in (field for field in sources.fields(name).values() if field.name not in without):
        value = sources.default(field)
        schema = {**schema_of(field.annotation, sources), **sources.bounds(field.default)}
        made = told(schema) if value is UNKNOWN else with_default(schema, value)
        properties[field.name] = {**made, "x-source": field.file}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _say(found: Mapping[str, dict[str, Any]], known: Known) -> None:
    """Add what Lethe knows of an option."""
    for what in _having(found, known.option, known.parts):
        node = _at(found[what], known.option)
        changed = {**{key: value for key, value in node.items() if key not in ("type", "enum")}, **known.says}
        node.clear()
        node.update({**changed, "x-known": known.source})


def _having(found: Mapping[str, dict[str, Any]], option: str, named: list[str] | None) -> list[str]:
    """The parts that have an option: each of those that are `named`, or one at least. Raises LetheError."""
    having = [what for what in named or found if what in found and _at(found[what], option)]
    if not having or (named and len(having) < len(named)):
        raise LetheError(f"options.yaml speaks of '{option}', which is no option of {', '.join(named or found)}")
    return having


def _at(schema: dict[str, Any], option: str) -> dict[str, Any]:
    """What the schema says of an option; an empty mapping of no effect where it has none."""
    for step in option.split("."):
        schema = schema.get("properties", {}).get(step, {})
    return schema
