"""The options of the package behind a backend: what a study may set of them beyond Lethe's own settings.

`options/WHAT.json` in a backend's folder, written by `python -m compiler.backends.extract`, is the JSON Schema of one part's
options, in the package's own order. What a study gives under `options` is checked against it and laid over the config.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.diagnostics import Diagnostic
from compiler.language.source import PathKey, Tree

OPTIONS = "options"
DEFS = "defs"
GROUPS = ("settings", "execution")
_REFERENCE = re.compile(r'"#/\$defs/(\w+)"')
NO_OPTIONS: Mapping[str, Any] = {"type": "object", "additionalProperties": False}

Names = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Options:
    """A package's options for one part. `at` is where in the config they stand, `complete` whether it holds all of them."""

    package: str
    version: str
    at: PathKey
    complete: bool
    schema: Mapping[str, Any]


def read_options(file: Path) -> Options | None:
    """The options that were extracted for a part; None where there are none."""
    if not file.is_file():
        return None
    schema = json.loads(file.read_text(encoding="utf-8"))
    package = schema["x-package"]
    return Options(package["name"], package["version"], tuple(schema["x-at"]), schema["x-complete"], schema)


def with_names(schema: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """A part's schema that knows what it refers to as `#/$defs/NAME`: the package's list of names `options/NAME.txt`, or the
    options `options/defs/NAME.json`."""
    named = sorted(set(_REFERENCE.findall(json.dumps(schema))) - {*schema.get("$defs", {})})
    found = {name: _said(folder, name) for name in named}
    return {**schema, "$defs": {**schema.get("$defs", {}), **found}} if found else schema


def _said(folder: Path, name: str) -> Mapping[str, Any]:
    options = folder / DEFS / f"{name}.json"
    if not options.is_file():
        return {"enum": (folder / f"{name}.txt").read_text(encoding="utf-8").split()}
    found: Mapping[str, Any] = json.loads(options.read_text(encoding="utf-8"))
    return found


def with_options(schema: Mapping[str, Any], options: Options | None) -> Mapping[str, Any]:
    """A part's schema that knows the package's options wherever it has `options`."""
    groups = {}
    for name, group in schema["properties"].items():
        inner = group.get("properties", {})
        if OPTIONS in inner:
            own = options.schema if options else NO_OPTIONS
            told = {**own, "type": ["object", "null"], "description": inner[OPTIONS].get("description", "")}
            group = {**group, "properties": {**inner, OPTIONS: told}}
        groups[name] = group
    return {**schema, "properties": groups}


def without(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings or execution as templates see them."""
    return {name: value for name, value in values.items() if name != OPTIONS}


def overlay(settings: Mapping[str, Any], execution: Mapping[str, Any]) -> dict[str, Any]:
    """The options of both, as one mapping."""
    found: dict[str, Any] = laid_over(settings.get(OPTIONS) or {}, execution.get(OPTIONS) or {})
    return found


def laid_over(under: Any, over: Any) -> Any:
    """`over` on top of `under`: mappings key by key, anything else replaces."""
    if not (isinstance(under, Mapping) and isinstance(over, Mapping)):
        return over
    return {**under, **{key: laid_over(under[key], value) if key in under else value for key, value in over.items()}}


def found_at(values: Any, path: PathKey) -> Any:
    """The value at a path of nested mappings; None where there is none."""
    for key in path:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def placed(options: Mapping[str, Any], at: PathKey) -> dict[str, Any]:
    """`options` as a mapping of the whole config, where they stand at `at`."""
    for key in reversed(at):
        options = {str(key): options}
    return dict(options)


def leaves(values: Any, path: PathKey = ()) -> Iterator[PathKey]:
    """The paths of nested mappings' values; lists and what is empty count as one."""
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from leaves(value, (*path, str(key)))
    elif path:
        yield path


def taken(options: Options, config: Any, named: Mapping[PathKey, Names], given: Tree, whose: str) -> Iterable[Diagnostic]:
    """Every given option that Lethe decides already: in the rendered config, from the settings `named`, or at run time."""
    for path in leaves(given.data):
        at = (*options.at, *path)
        setting = _at_run_time(options.schema, path)
        held = _reaches(config, at)
        if held is not None or setting:
            own = [".".join(name[1:]) for name in _nearest(named, at)]
            message = f"option '{'.'.join(map(str, path))}' of the {whose} is one that Lethe sets itself"
            yield Diagnostic(given.key_at(path), message, _instead(own, setting))


def _instead(own: list[str], setting: str) -> str:
    """What to do in place of giving an option. What the runtime makes it from is a setting if it is one word."""
    if setting and " " in setting:
        return f"leave it out: it follows from {setting}"
    own = [setting] if setting else own
    if not own:
        return "leave it out: the backend's template needs it as it is"
    return "say it with " + " and ".join(f"'{name}'" for name in own) + ", Lethe's own setting for it"


def _reaches(config: Any, path: PathKey) -> PathKey | None:
    """The part of `path` at which the config has a value that `path` would replace; None where it would only add."""
    for number, key in enumerate(path):
        if not isinstance(config, Mapping) or key not in config:
            return None if isinstance(config, Mapping) else path[:number]
        config = config[key]
    return path


def _nearest(named: Mapping[PathKey, Names], path: PathKey) -> Names:
    """The settings behind a path of the config, or behind the nearest that holds it."""
    found = [named[path[:end]] for end in range(len(path), 0, -1) if named.get(path[:end])]
    return found[0] if found else ()


def _at_run_time(schema: Mapping[str, Any], path: PathKey) -> str:
    """What the runtime makes an option from; empty where it makes none."""
    return str(option(schema, path).get("x-set-by", ""))


def option(schema: Mapping[str, Any], path: PathKey) -> Mapping[str, Any]:
    """What the schema says of one option; nothing where it has none at `path`."""
    for key in path:
        schema = schema.get("properties", {}).get(key, {})
    return schema
