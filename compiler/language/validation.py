"""Turns what pydantic and JSON Schema find wrong into diagnostics at the place in the YAML where it stands."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from typing_extensions import is_typeddict

from compiler.diagnostics import Diagnostic, Hint, SpecError, nearest, one_slip
from compiler.language.schemas import COMBINING, surely_right, validator
from compiler.language.source import PathKey, Tree

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError as SchemaError


class Strict(BaseModel):
    """What every model of the language shares: unknown keys are errors, nothing is coerced, nothing changes."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True, validate_by_alias=True
    )

    @classmethod
    def lacks(cls, data: Any) -> Iterable[PathKey]:
        """Keys that a mapping lacks and no single field can ask for."""
        return ()


Model = TypeVar("Model", bound=Strict)


def parse(model: type[Model], tree: Tree) -> Model:
    """Validate `tree` as `model`. Raises SpecError with one diagnostic per mistake."""
    found = [_Mistake(path, "missing", {}) for path in model.lacks(tree.data)] if isinstance(tree.data, dict) else []
    try:
        made = model.model_validate(tree.data)
    except ValidationError as error:
        found += [_Mistake(_real_path(tree, item), item["type"], item) for item in error.errors(include_url=False)]
    if found:
        raise SpecError(list(_diagnostics(model, tree, found)))
    return made


def check_schema(schema: Mapping[str, Any], tree: Tree, where: str, *, whole: bool = True) -> list[Diagnostic]:
    """What a JSON Schema finds wrong in `tree`; `where` names the thing in messages ("settings of algorithm sft").

    A tree that is not the `whole` may lack what must be there, and what must go together.
    """
    if surely_right(schema, tree.data, whole=whole):
        return []
    errors = sorted(validator(schema).iter_errors(tree.data), key=lambda e: [str(p) for p in e.absolute_path])
    plain = [error for error in errors if not COMBINING & set(error.absolute_schema_path)]
    if not whole:
        errors = plain = [error for error in plain if error.validator != "required"]
    return [diagnostic for error in plain or errors for diagnostic in _schema_diagnostics(tree, error, where)]


def _schema_diagnostics(tree: Tree, error: SchemaError, where: str) -> Iterable[Diagnostic]:
    path: PathKey = tuple(error.absolute_path)
    schema: Any = error.schema
    value: Any = error.validator_value
    instance: Any = error.instance
    if error.validator == "additionalProperties":
        known, lacking = list(schema.get("properties", {})), set(schema.get("required", ())) - set(instance)
        for key in sorted(set(instance) - set(known)):
            slip = _meant(key, lacking, known, instance)
            yield Diagnostic(tree.key_at((*path, key)), f"unknown key '{key}' in the {where}", slip)
    elif error.validator == "required":
        known, lacking = list(schema.get("properties", {})), set(value) - set(instance)
        meant = {_meant(key, lacking, known, instance).suggestion for key in set(instance) - set(known)}
        missing = [key for key in value if key not in instance and key not in meant]
        if missing:
            names = ", ".join(f"'{_dotted((*path, key))}'" for key in missing)
            hint = str(schema["properties"][missing[0]].get("description", "")) if len(missing) == 1 else ""
            yield Diagnostic(tree.at(path), f"the {where} lack {names}", hint)
    elif error.validator == "enum":
        valid = [str(v) for v in value]
        a_key = "propertyNames" in error.absolute_schema_path
        message = f"'{_dotted(path)}' of the {where} cannot {'have' if a_key else 'be'} {shown(instance)}"
        at = tree.key_at((*path, str(instance))) if a_key else tree.at(path)
        yield Diagnostic(at, message, nearest(str(instance), valid))
    elif error.validator in COMBINING:
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

_BOUNDS = {
    "greater_than_equal": "at least {ge}", "greater_than": "more than {gt}", "less_than_equal": "at most {le}",
    "less_than": "less than {lt}", "finite_number": "a finite number", "string_too_long": "at most {max_length} characters",
    "too_short": "at least {min_length}", "too_long": "at most {max_length}",
}  # fmt: skip


def given(field: str) -> dict[str, Any]:
    """In JSON Schema: a mapping that has a field, and not as null, which is the same as not having it."""
    return {"required": [field], "properties": {field: {"not": {"type": "null"}}}}


def exactly_one(*fields: str) -> dict[str, Any]:
    """In JSON Schema: a mapping with exactly one of the fields."""
    return {"oneOf": [given(field) for field in fields]}


def both_or_none(one: str, other: str) -> dict[str, Any]:
    """In JSON Schema: a mapping with both fields or with neither."""
    return {"if": given(one), "then": given(other), "else": {"not": given(other)}}


def misplaced(path: PathKey, message: str) -> PydanticCustomError:
    """What a model's own validator raises for a mistake at `path` below the model."""
    return PydanticCustomError("misplaced", "{text}", {"text": message, "path": path})


@dataclass(frozen=True)
class _Mistake:
    """One pydantic error at a path of the YAML. `item` is an entry of ValidationError.errors()."""

    path: PathKey
    kind: str
    item: Any


def _diagnostics(model: type[BaseModel], tree: Tree, found: Sequence[_Mistake]) -> Iterable[Diagnostic]:
    """One diagnostic a place, however many members of a union complain there, and one for all keys a mapping lacks."""
    lacking: dict[PathKey, list[str]] = {}
    other: dict[PathKey, list[_Mistake]] = {}
    for mistake in found:
        if mistake.kind == "missing":
            lacking.setdefault(mistake.path[:-1], []).append(str(mistake.path[-1]))
        else:
            other.setdefault(mistake.path, []).append(mistake)
    slips = dict(slip for path, names in lacking.items() for slip in _slips(model, tree, path, names))
    for path, names in lacking.items():
        yield from _lacks(model, tree, path, [name for name in names if (*path, name) not in slips.values()])
    for path in slips:
        yield _unknown_key(model, tree, path, lacking[path[:-1]])
    for path, mistakes in other.items():
        if path not in slips and not any(len(deeper) > len(path) and deeper[: len(path)] == path for deeper in other):
            yield _diagnostic(model, tree, path, mistakes, lacking.get(path[:-1], []))


def _slips(model: type[BaseModel], tree: Tree, path: PathKey, lacking: Sequence[str]) -> Iterable[tuple[PathKey, PathKey]]:
    """Which keys of a mapping are most likely keys that it lacks, misspelt. It may be one that takes any key."""
    known, said = _fields_at(model, path), tree.below(path).data
    for key in said:
        meant = _meant(key, lacking, known, said).suggestion if key not in known else None
        if meant in lacking:
            yield (*path, key), (*path, str(meant))


def _meant(key: str, lacking: Iterable[str], known: Iterable[str], said: Iterable[str]) -> Hint:
    """What an unknown key most likely stands for: a slip of one that must be there, one that may be, one that is there."""
    return nearest(key, [word for word in lacking if one_slip(key, word)] or known, said)


def _lacks(model: type[BaseModel], tree: Tree, path: PathKey, names: Sequence[str]) -> Iterable[Diagnostic]:
    if names:
        quoted = [f"'{name}'" for name in names]
        what = f"the key {quoted[0]} is" if len(names) == 1 else f"the keys {', '.join(quoted)} are"
        hint = _about(_fields_at(model, path).get(names[0])) if len(names) == 1 else ""
        yield Diagnostic(tree.at(path), f"{what} missing{_inside(path)}", hint)


def _unknown_key(model: type[BaseModel], tree: Tree, path: PathKey, lacking: Sequence[str]) -> Diagnostic:
    hint = _meant(str(path[-1]), lacking, _fields_at(model, path[:-1]), tree.below(path[:-1]).data)
    return Diagnostic(tree.key_at(path), f"unknown key '{path[-1]}'{_inside(path[:-1])}", hint)


def _diagnostic(
    model: type[BaseModel], tree: Tree, path: PathKey, mistakes: Sequence[_Mistake], lacking: Sequence[str]
) -> Diagnostic:
    """What is wrong at one place. Where a union's members disagree, one that minds more than the type is right."""
    mistake = min(mistakes, key=_relevance)
    item, hint = mistake.item, _about(_fields_at(model, path[:-1]).get(str(path[-1]))) if path else ""
    if mistake.kind == "extra_forbidden":
        return _unknown_key(model, tree, path, lacking)
    if mistake.kind == "literal_error":
        valid = item["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        message = f"{_named(path)} cannot be {shown(item['input'])}"
        return Diagnostic(tree.at(path), message, nearest(str(item["input"]), valid))
    if mistake.kind in _PYDANTIC:
        expected = _either([_PYDANTIC[m.kind] for m in mistakes])
        return Diagnostic(tree.at(path), f"{_named(path)} is {shown(item['input'])}; expected {expected}", hint)
    if mistake.kind in _BOUNDS:
        return Diagnostic(tree.at(path), _beyond(path, mistake), hint)
    if mistake.kind == "misplaced":
        at = tree.at((*path, *item["ctx"]["path"]))
        return Diagnostic(at, f"{_named(path)}: {item['ctx']['text']}")
    text = item["msg"].removeprefix("Value error, ")
    at = tree.key_at(path) if item["loc"][-1:] == ("[key]",) else tree.at(path)
    return Diagnostic(at, f"{_named(path)}: {text[:1].lower()}{text[1:]}")


def _relevance(mistake: _Mistake) -> int:
    """Of a union's members, one that takes a value of this type says most; a choice of words has no say on a mapping."""
    return 2 if mistake.kind in _PYDANTIC else int(mistake.kind == "literal_error" and isinstance(mistake.item["input"], dict))


def _either(kinds: Sequence[str]) -> str:
    """Several types in words; an integer is a number."""
    distinct = [kind for kind in dict.fromkeys(kinds) if not (kind == "an integer" and "a number" in kinds)]
    return " or ".join([", ".join(distinct[:-1]), distinct[-1]] if len(distinct) > 2 else distinct)


def _beyond(path: PathKey, mistake: _Mistake) -> str:
    """A value of the right type, but too small, large, short or long."""
    item = mistake.item
    limits = item.get("ctx", {})
    bound = _BOUNDS[mistake.kind].format(**{name: f"{limit:g}" for name, limit in limits.items() if not isinstance(limit, str)})
    if mistake.kind in ("too_short", "too_long"):
        count = len(item["input"])
        return f"{_named(path)} has {count or 'no'} item{'s' * (count != 1)}; expected {bound}"
    return f"{_named(path)} is {shown(item['input'])}; expected {bound}"


def _real_path(tree: Tree, item: Any) -> PathKey:
    """The part of pydantic's location that is a path of the YAML (it also names union members and '[key]')."""
    path: PathKey = ()
    for step in item["loc"]:
        if (*path, step) in tree.values:
            path = (*path, step)
    return (*path, item["loc"][-1]) if item["type"] == "missing" else path


def _fields_at(model: type[BaseModel], path: PathKey) -> dict[str, FieldInfo]:
    """The keys that `model` allows at `path`."""
    kinds: list[Any] = [model]
    for step in path:
        kinds = [inner for kind in kinds for inner in _step(kind, step)]
    return {name: field for kind in kinds for name, field in _keys(kind).items()}


@cache
def _keys(kind: Any) -> Mapping[str, FieldInfo]:
    """The fields of a model or a typed mapping, as the YAML calls them; none of any other type."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {field.alias or name: field for name, field in kind.model_fields.items()}
    hints = get_type_hints(kind, include_extras=True) if is_typeddict(kind) else {}
    return {name: FieldInfo.from_annotation(hint) for name, hint in hints.items() if not name.startswith("__")}


def _step(kind: Any, step: str | int) -> list[Any]:
    field = _keys(kind).get(str(step))
    if field:
        return _members(field.annotation)
    arguments = get_args(kind)
    return _members(arguments[-1]) if get_origin(kind) in (dict, list) else []


def _members(annotation: Any) -> list[Any]:
    """The types that a value may have: a union's members, and what an annotated type is besides its constraints."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [inner for member in get_args(annotation) for inner in _members(member)]
    return [annotation]


def _about(field: FieldInfo | None) -> str:
    return (field.description or "").replace("\n", " ") if field else ""


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
