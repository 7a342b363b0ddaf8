"""Turns what pydantic and JSON Schema find wrong into diagnostics at the place in the YAML where it stands."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as SchemaError
from pydantic import BaseModel, ConfigDict, ValidationError

from compiler.diagnostics import Diagnostic, SpecError, nearest
from compiler.source import PathKey, Tree


class Strict(BaseModel):
    """What every model of the language shares: unknown keys are errors, nothing is coerced, nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Model = TypeVar("Model", bound=Strict)


def parse(model: type[Model], tree: Tree) -> Model:
    """Validate `tree` as `model`. Raises SpecError with one diagnostic per mistake."""
    try:
        return model.model_validate(tree.data)
    except ValidationError as error:
        found = [_diagnostic(model, tree, item) for item in error.errors(include_url=False)]
    raise SpecError(found)


def check_schema(schema: Mapping[str, Any], tree: Tree, where: str) -> list[Diagnostic]:
    """What a JSON Schema finds wrong in `tree`; `where` names the thing in messages ("settings of algorithm sft")."""
    errors = sorted(_validator_of(schema).iter_errors(tree.data), key=lambda e: [str(p) for p in e.absolute_path])
    return [diagnostic for error in errors for diagnostic in _schema_diagnostics(tree, error, where)]


def _validator_of(schema: Mapping[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema)


def _schema_diagnostics(tree: Tree, error: SchemaError, where: str) -> Iterable[Diagnostic]:
    path: PathKey = tuple(error.absolute_path)
    schema: Any = error.schema
    value: Any = error.validator_value
    instance: Any = error.instance
    if error.validator == "additionalProperties":
        known = list(schema.get("properties", {}))
        for key in sorted(set(instance) - set(known)):
            yield Diagnostic(tree.key_at((*path, key)), f"unknown key '{key}' in the {where}", nearest(key, known))
    elif error.validator == "required":
        for key in sorted(set(value) - set(instance)):
            hint = str(schema.get("properties", {}).get(key, {}).get("description", ""))
            yield Diagnostic(tree.at(path), f"the {where} lack '{_dotted((*path, key))}'", hint)
    elif error.validator == "enum":
        valid = [str(v) for v in value]
        message = f"'{_dotted(path)}' of the {where} cannot be {shown(instance)}"
        yield Diagnostic(tree.at(path), message, nearest(str(instance), valid))
    else:
        message = f"'{_dotted(path)}' of the {where} is {shown(instance)}; expected {_expected(error)}"
        yield Diagnostic(tree.at(path), message, str(schema.get("description", "")))


def _expected(error: SchemaError) -> str:
    """In words, what a failed keyword of a schema asks for."""
    value: Any = error.validator_value
    words = {
        "type": lambda: " or ".join(_TYPES.get(t, t) for t in ([value] if isinstance(value, str) else value)),
        "minimum": lambda: f"at least {value}",
        "maximum": lambda: f"at most {value}",
        "exclusiveMinimum": lambda: f"more than {value}",
        "exclusiveMaximum": lambda: f"less than {value}",
        "minItems": lambda: f"at least {value} items",
        "const": lambda: shown(value),
        "pattern": lambda: f"text that matches {value}",
    }
    return words.get(str(error.validator), lambda: f"something else ({error.message})")()


_TYPES = {
    "integer": "an integer", "number": "a number", "string": "text", "boolean": "true or false",
    "array": "a list", "object": "a mapping", "null": "nothing",
}  # fmt: skip

_PYDANTIC = {
    "string_type": "text", "int_type": "an integer", "float_type": "a number", "bool_type": "true or false",
    "dict_type": "a mapping", "mapping_type": "a mapping", "list_type": "a list", "tuple_type": "a list",
    "model_type": "a mapping",
}  # fmt: skip


def _diagnostic(model: type[BaseModel], tree: Tree, item: Any) -> Diagnostic:
    """One pydantic error as a diagnostic. `item` is an entry of ValidationError.errors()."""
    path = _real_path(tree, item["loc"])
    kind: str = item["type"]
    if kind == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        return Diagnostic(tree.key_at(path), f"unknown key '{path[-1]}'{_inside(path)}", nearest(str(path[-1]), known))
    if kind == "missing":
        return Diagnostic(tree.at(path[:-1]), f"the key '{path[-1]}' is missing{_inside(path)}")
    if kind == "literal_error":
        valid = item["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        message = f"'{_dotted(path)}' cannot be {shown(item['input'])}"
        return Diagnostic(tree.at(path), message, nearest(str(item["input"]), valid))
    if kind in _PYDANTIC:
        message = f"'{_dotted(path)}' is {shown(item['input'])}; expected {_PYDANTIC[kind]}"
        return Diagnostic(tree.at(path), message)
    text = item["msg"].removeprefix("Value error, ")
    return Diagnostic(tree.at(path), f"'{_dotted(path)}': {text[:1].lower()}{text[1:]}" if path else text)


def _real_path(tree: Tree, loc: tuple[str | int, ...]) -> PathKey:
    """The part of pydantic's location that is a path of the YAML (it also names union members and '[key]')."""
    path: PathKey = ()
    for step in loc:
        if (*path, step) in tree.values or step == loc[-1]:
            path = (*path, step)
    return path[:-1] if path and path[-1] == "[key]" else path


def _fields_at(model: type[BaseModel], path: PathKey) -> list[str]:
    """The keys that `model` allows at `path`."""
    kinds: list[Any] = [model]
    for step in path:
        kinds = [inner for kind in kinds for inner in _step(kind, step)]
    return sorted({name for kind in kinds if _is_model(kind) for name in kind.model_fields})


def _step(kind: Any, step: str | int) -> list[Any]:
    if _is_model(kind):
        field = kind.model_fields.get(str(step))
        return _members(field.annotation) if field else []
    arguments = get_args(kind)
    return _members(arguments[-1] if get_origin(kind) is dict or len(arguments) != 2 else arguments[0]) if arguments else []


def _members(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return list(get_args(annotation))
    return [] if get_origin(annotation) is Literal else [annotation]


@cache
def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _inside(path: PathKey) -> str:
    return f" in '{_dotted(path[:-1])}'" if len(path) > 1 else ""


def _dotted(path: PathKey) -> str:
    return ".".join(str(step) for step in path)


def shown(value: Any) -> str:
    """A value in a message: short, and with its type visible."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "empty"
    text = f"'{value}'" if isinstance(value, str) else f"{value}".lower() if isinstance(value, bool) else f"{value}"
    return text if len(text) <= 60 else text[:57] + "...'"
