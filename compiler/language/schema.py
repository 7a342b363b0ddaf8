"""The JSON Schema (draft 2020-12) of a spec, for editors: made from the models that the compiler itself reads specs with.

What it cannot say, and `lethe validate` does: which names the catalog defines; that zipped axes have as many values each; that
rules touch cells, and settings are those of a backend; that YAML's `.inf` and `.nan` are no numbers here; and that an integer
is written without a point (to JSON Schema, 3.0 is one).
"""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core import core_schema

from compiler.language.definitions import SECTIONS
from compiler.language.study import NAME_SCHEMA, Study
from compiler.language.validation import Strict

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_MODE: JsonSchemaMode = "validation"
_ABOUT_NAMES = "A plain name: letters, digits, '_', '-' and '.', beginning with a letter or digit."
_WHOLE = {"required", "oneOf", "allOf", "if", "then", "else", "default"}  # what a part of a mapping need not fulfil
_PART, _EXTENDING = ".part", ".extending"
_ABOUT_EXTENDS = "What this definition extends: another one of its section. Below stands only what differs."


def text() -> str:
    """The schema, as the file specs/study.schema.json has it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def schema() -> dict[str, Any]:
    """The schema of a spec, with what it defines itself typed by section."""
    models: list[type[Strict]] = [Study, *SECTIONS.values()]
    references, made = models_json_schema([(model, _MODE) for model in models], schema_generator=_Generator)
    whole: dict[str, Any] = {name: _tidy(part) for name, part in made["$defs"].items()}
    study = whole.pop("Study")
    study["properties"]["define"] |= _define({s: references[model, _MODE]["$ref"] for s, model in SECTIONS.items()})
    parts = {f"{name}{_PART}": _part(part) for name, part in whole.items()}
    extending = {f"{name}{_EXTENDING}": _extending(parts[f"{name}{_PART}"]) for name in whole}
    found = {"Name": {**NAME_SCHEMA, "description": _ABOUT_NAMES}, **whole, **parts, **extending}
    used = {name: found[name] for name in sorted(_used(study, found))}
    return {"$schema": DIALECT, "$id": "study.schema.json", **study, "title": "A study of Lethe", "$defs": used}


class _Generator(GenerateJsonSchema):
    """pydantic's, with the names of a mapping's keys checked, and without titles that only repeat a key."""

    def dict_schema(self, schema: core_schema.DictSchema) -> dict[str, Any]:
        keys = self.generate_inner(schema["keys_schema"]) if "keys_schema" in schema else {}
        values = self.generate_inner(schema["values_schema"]) if "values_schema" in schema else {}
        found: dict[str, Any] = {"type": "object", "additionalProperties": values or True}
        found |= {"propertyNames": keys} if set(keys) - {"type"} else {}
        return found | ({"minProperties": schema["min_length"]} if "min_length" in schema else {})

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        """A default is told where it is a plain value: what else is left out is empty."""
        found = super().default_schema(schema)
        plain = isinstance(found.get("default"), str | int | float)
        return found if plain else {keyword: value for keyword, value in found.items() if keyword != "default"}


def _tidy(part: Any) -> Any:
    """A part of the schema with plain names as one definition, and its text on one line."""
    if isinstance(part, list):
        return [_tidy(item) for item in part]
    if not isinstance(part, dict):
        return part.replace("\n", " ") if isinstance(part, str) else part
    rest = {keyword: _tidy(value) for keyword, value in part.items() if keyword not in NAME_SCHEMA}
    if part.items() >= NAME_SCHEMA.items():
        return {"$ref": "#/$defs/Name", **rest}
    return {keyword: _tidy(value) for keyword, value in part.items()}


def _define(models: dict[str, str]) -> dict[str, Any]:
    """What a study may define: per section, names with whole definitions, or with what they extend and change."""
    sections = {}
    for section, whole in models.items():
        either = {"if": {"required": ["extends"]}, "then": {"$ref": whole + _EXTENDING}, "else": {"$ref": whole}}
        sections[section] = {"type": "object", "propertyNames": {"$ref": "#/$defs/Name"}, "additionalProperties": either}
    return {"type": "object", "properties": sections, "additionalProperties": False}


def _part(model: dict[str, Any]) -> dict[str, Any]:
    """What stands on top of a mapping: anything may be left out, in the mappings inside, too."""
    return {keyword: _inner_part(value) for keyword, value in model.items() if keyword not in _WHOLE}


def _inner_part(value: Any) -> Any:
    """The same for what is inside a mapping. A list replaces the one below, so its items are whole."""
    if isinstance(value, list):
        return [_inner_part(item) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {keyword: item if keyword in ("items", "default") else _inner_part(item) for keyword, item in value.items()}
    reference = inner.get("$ref")
    return inner if reference in (None, "#/$defs/Name") else {**inner, "$ref": f"{reference}{_PART}"}


def _extending(part: dict[str, Any]) -> dict[str, Any]:
    extends = {"$ref": "#/$defs/Name", "description": _ABOUT_EXTENDS}
    return {**part, "properties": {"extends": extends, **part["properties"]}, "required": ["extends"]}


def _used(part: Any, found: dict[str, Any], seen: frozenset[str] = frozenset()) -> frozenset[str]:
    """The names of the definitions that a part of the schema refers to, and those refer to."""
    if isinstance(part, list):
        for item in part:
            seen = _used(item, found, seen)
    elif isinstance(part, dict):
        name = str(part.get("$ref", "")).removeprefix("#/$defs/")
        if name and name not in seen:
            seen = _used(found[name], found, seen | {name})
        seen = _used(list(part.values()), found, seen)
    return seen
