"""Turns what pydantic and JSON Schema find wrong into diagnostics at the place in the YAML where it stands."""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError as SchemaError
from pydantic import BaseModel, ConfigDict, ValidationError

from compiler.diagnostics import Diagnostic, SpecError, closest, nearest
from compiler.source import PathKey, Tree


class Strict(BaseModel):
    """What every model of the language shares: unknown keys are errors, nothing is coerced, nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=Strict)


def parse(model: type[Model], tree: Tree) -> Model:
    """Validate `tree` as `model`. Raises SpecError with one diagnostic per mistake."""
    try:
        return model.model_validate(tree.data)
    except ValidationError as error:
        found = [_Mistake(_real_path(tree, item), item["type"], item) for item in error.errors(include_url=False)]
    raise SpecError(list(_diagnostics(model, tree, found)))


def check_schema(schema: Mapping[str, Any], tree: Tree, where: str) -> list[Diagnostic]:
    """What a JSON Schema finds wrong in `tree`; `where` names the thing in messages ("settings of algorithm sft")."""
    errors = sorted(_Validator(schema).iter_errors(tree.data), key=lambda e: [str(p) for p in e.absolute_path])
    plain = [error for error in errors if not _COMBINING & set(error.absolute_schema_path)]
    return [diagnostic for error in plain or errors for diagnostic in _schema_diagnostics(tree, error, where)]


def _is_finite(checker: Any, value: Any) -> bool:
    return Draft202012Validator.TYPE_CHECKER.is_type(value, "number") and math.isfinite(value)


def _is_integer(checker: Any, value: Any) -> bool:
    """Unlike JSON Schema's, without 3.0, which a config would pass on as it is."""
    return isinstance(value, int) and not isinstance(value, bool)


_Validator: type[Draft202012Validator] = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many({"number": _is_finite, "integer": _is_integer}),
)

_COMBINING = {"oneOf", "anyOf", "allOf", "if", "not"}  # these fail, too, where a single value is wrong


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
        meant = {closest(key, schema["properties"]) for key in set(instance) - set(schema["properties"])}
        missing = [key for key in value if key not in instance and key not in meant]
        if missing:
            names = ", ".join(f"'{_dotted((*path, key))}'" for key in missing)
            hint = str(schema["properties"][missing[0]].get("description", "")) if len(missing) == 1 else ""
            yield Diagnostic(tree.at(path), f"the {where} lack {names}", hint)
    elif error.validator == "enum":
        valid = [str(v) for v in value]
        message = f"'{_dotted(path)}' of the {where} cannot be {shown(instance)}"
        yield Diagnostic(tree.at(path), message, nearest(str(instance), valid))
    elif error.validator in _COMBINING:
        yield Diagnostic(tree.at(path), f"the {where} do not go together", str(schema.get("description", "")))
    else:
        message = f"{_named(path)} of the {where} is {shown(instance)}; expected {_expected(error)}"
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


@dataclass(frozen=True)
class _Mistake:
    """One pydantic error at a path of the YAML. `item` is an entry of ValidationError.errors()."""

    path: PathKey
    kind: str
    item: Any


def _diagnostics(model: type[BaseModel], tree: Tree, found: Sequence[_Mistake]) -> Iterable[Diagnostic]:
    """One diagnostic a place, however many members of a union complain there, and one for all keys a mapping lacks."""
    unknown = [mistake.path for mistake in found if mistake.kind == "extra_forbidden"]
    meant = {(*path[:-1], closest(str(path[-1]), _fields_at(model, path[:-1]))) for path in unknown}
    missing: dict[PathKey, list[str]] = {}
    other: dict[PathKey, list[_Mistake]] = {}
    for mistake in found:
        if mistake.kind != "missing":
            other.setdefault(mistake.path, []).append(mistake)
        elif mistake.path not in meant:
            missing.setdefault(mistake.path[:-1], []).append(f"'{mistake.path[-1]}'")
    for path, names in missing.items():
        what = f"the key {names[0]} is" if len(names) == 1 else f"the keys {', '.join(names)} are"
        yield Diagnostic(tree.at(path), f"{what} missing{_inside(path)}")
    for path, mistakes in other.items():
        if not any(len(deeper) > len(path) and deeper[: len(path)] == path for deeper in other):
            yield _diagnostic(model, tree, path, mistakes)


def _diagnostic(model: type[BaseModel], tree: Tree, path: PathKey, mistakes: Sequence[_Mistake]) -> Diagnostic:
    """What is wrong at one place. Where a union's members disagree, one that minds more than the type is right."""
    mistake = next((m for m in mistakes if m.kind not in _PYDANTIC), mistakes[0])
    item = mistake.item
    if mistake.kind == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        hint = nearest(str(path[-1]), known)
        return Diagnostic(tree.key_at(path), f"unknown key '{path[-1]}'{_inside(path[:-1])}", hint)
    if mistake.kind == "literal_error":
        valid = item["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        message = f"{_named(path)} cannot be {shown(item['input'])}"
        return Diagnostic(tree.at(path), message, nearest(str(item["input"]), valid))
    if mistake.kind in _PYDANTIC:
        expected = " or ".join(dict.fromkeys(_PYDANTIC[m.kind] for m in mistakes))
        return Diagnostic(tree.at(path), f"{_named(path)} is {shown(item['input'])}; expected {expected}")
    text = item["msg"].removeprefix("Value error, ")
    at = tree.key_at(path) if item["loc"][-1:] == ("[key]",) else tree.at(path)
    return Diagnostic(at, f"{_named(path)}: {text[:1].lower()}{text[1:]}")


def _real_path(tree: Tree, item: Any) -> PathKey:
    """The part of pydantic's location that is a path of the YAML (it also names union members and '[key]')."""
    path: PathKey = ()
    for step in item["loc"]:
        if (*path, step) in tree.values:
            path = (*path, step)
    return (*path, item["loc"][-1]) if item["type"] == "missing" else path


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
    return f" in '{_dotted(path)}'" if path else ""


def _named(path: PathKey) -> str:
    return f"'{_dotted(path)}'" if path else "the definition"


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
