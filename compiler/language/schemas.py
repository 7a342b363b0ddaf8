"""JSON Schema as backends' schemas mean it: whether a value is right, quickly; what is wrong with it, jsonschema says."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import cache, reduce
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it takes a while to import, and nothing may be wrong
    from jsonschema import Draft202012Validator


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    """jsonschema's validator of a schema."""
    return _validators()(schema)


@cache
def _validators() -> type[Draft202012Validator]:
    from jsonschema import Draft202012Validator, validators

    kinds = Draft202012Validator.TYPE_CHECKER.redefine_many({"number": _is_finite, "integer": _is_integer})
    found: type[Draft202012Validator] = validators.extend(Draft202012Validator, type_checker=kinds)  # type: ignore[no-untyped-call]
    return found


def _is_finite(checker: Any, value: Any) -> bool:
    return _is_number(value)


def _is_integer(checker: Any, value: Any) -> bool:
    """Unlike JSON Schema's, without 3.0, which a config would pass on as it is."""
    return _TYPES["integer"](value)


COMBINING = frozenset({"oneOf", "anyOf", "allOf", "not"})
"""Keywords that fail, too, where a single value is wrong. What `then` and `else` ask for is told as it is."""

BY_PROPERTY = frozenset({"description", "$defs", "type", "properties", "additionalProperties", "required"})
"""Keywords of a schema of mappings by which each value is right or wrong whatever the others are."""


Check = Callable[[Any], bool]
Definitions = Mapping[str, Any]


def surely_right(schema: Mapping[str, Any], value: Any, *, whole: bool = True) -> bool:
    """Whether a value is right, in a fraction of the time that jsonschema takes; what is not simple is left to that.

    One that is not the `whole` may lack what must be there, and what must go together.
    """
    asked = schema if whole else {keyword: said for keyword, said in schema.items() if keyword not in {"required", *COMBINING}}
    return checker(asked, schema.get("$defs", {}))(value)


def checker(schema: Mapping[str, Any], defs: Definitions) -> Check:
    """What tells of values whether they are right, as `surely_right` does of one. `defs` are what `$ref` refers to."""
    right = _checker(schema, defs)

    def check(value: Any) -> bool:
        try:
            return right(value)
        except _Elsewhere:
            return False

    return check


class _Elsewhere(Exception):
    """A schema refers to what is not among its definitions: jsonschema tells."""


def _checker(schema: Mapping[str, Any] | bool, defs: Definitions) -> Check:
    if isinstance(schema, bool):
        return lambda value: schema
    said = {keyword: said for keyword, said in schema.items() if not keyword.startswith("x-")}  # which are notes
    if not said.keys() <= _SIMPLE.keys() or not _plainly_equal(said):
        return lambda value: bool(validator({**schema, "$defs": defs}).is_valid(value))
    checks = [check for keyword, of_it in said.items() if (check := _SIMPLE[keyword](of_it, said, defs))]
    return reduce(_both, checks) if checks else lambda value: True


def _plainly_equal(schema: Mapping[str, Any]) -> bool:
    """Whether the values that a schema compares with are single ones."""
    values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
    return not any(isinstance(value, dict | list) for value in values)


def _both(one: Check, other: Check) -> Check:
    return lambda value: one(value) and other(value)


def _reference(said: str, schema: Mapping[str, Any], defs: Definitions) -> Check:
    known: list[Check] = []  # made when it is asked for: a definition may refer to itself

    def check(value: Any) -> bool:
        if said.removeprefix("#/$defs/") not in defs:
            raise _Elsewhere
        if not known:
            known.append(_checker(defs[said.removeprefix("#/$defs/")], defs))
        return known[0](value)

    return check


def _equals(said: Any, value: Any) -> bool:
    return isinstance(said, bool) == isinstance(value, bool) and bool(said == value)


def _branches(said: Any, schema: Mapping[str, Any], defs: Definitions) -> Check:
    chosen = _checker(said, defs)
    then, other = _checker(schema.get("then", {}), defs), _checker(schema.get("else", {}), defs)
    return lambda value: then(value) if chosen(value) else other(value)


def _any(said: Any, schema: Mapping[str, Any], defs: Definitions) -> Check:
    checks = [_checker(one, defs) for one in said]
    return lambda value: any(check(value) for check in checks)


def _every(said: Any, schema: Mapping[str, Any], defs: Definitions) -> Check:
    return reduce(_both, [_checker(one, defs) for one in said])


def _not(said: Any, schema: Mapping[str, Any], defs: Definitions) -> Check:
    check = _checker(said, defs)
    return lambda value: not check(value)


def _names(said: Any, schema: Mapping[str, Any], defs: Definitions) -> Check:
    check = _checker(said, defs)
    return lambda value: not isinstance(value, dict) or all(map(check, value))


def _properties(said: Mapping[str, Any], schema: Mapping[str, Any], defs: Definitions) -> Check:
    known: dict[str, Check] = {}

    def check(value: Any) -> bool:
        for name, item in value.items() if isinstance(value, dict) else ():
            if name in said and not (known.get(name) or known.setdefault(name, _checker(said[name], defs)))(item):
                return False
        return True

    return check


def _others(said: Any, schema: Mapping[str, Any], defs: Definitions) -> Check:
    known, right = schema.get("properties", {}), _checker(said, defs) if isinstance(said, dict) else None

    def check(value: Any) -> bool:
        for name, item in value.items() if isinstance(value, dict) else ():
            if name not in known and not (right and right(item)):
                return False
        return True

    return check


def _items(said: Any, schema: Mapping[str, Any], defs: Definitions) -> Check:
    right = _checker(said, defs)
    return lambda value: not isinstance(value, list) or all(map(right, value))


def _contains(said: Any, schema: Mapping[str, Any], defs: Definitions) -> Check:
    right = _checker(said, defs)
    return lambda value: not isinstance(value, list) or any(map(right, value))


def _type(said: Any, schema: Mapping[str, Any], defs: Definitions) -> Check:
    if isinstance(said, str):
        return _TYPES[said]
    kinds = [_TYPES[name] for name in said]
    return lambda value: any(is_one(value) for is_one in kinds)


def _matches(pattern: re.Pattern[str]) -> Check:
    return lambda value: not isinstance(value, str) or pattern.search(value) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_unlike(values: list[Any]) -> bool:
    """Whether no two are the same; of what are not all texts jsonschema tells."""
    if all(type(value) is str for value in values):
        return len(set(values)) == len(values)
    return bool(validator({"uniqueItems": True}).is_valid(values))


_TYPES: Mapping[str, Check] = {
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool), "number": _is_number,
    "string": lambda value: isinstance(value, str), "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None, "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}  # fmt: skip

_SIMPLE: Mapping[str, Callable[[Any, Mapping[str, Any], Definitions], Check | None]] = {
    **dict.fromkeys(("$schema", "$defs", "title", "description", "default", "then", "else"), lambda said, schema, defs: None),
    "$ref": _reference,
    "if": _branches,
    "anyOf": _any,
    "allOf": _every,
    "not": _not,
    "propertyNames": _names,
    "const": lambda said, schema, defs: lambda value: _equals(said, value),
    "minProperties": lambda said, schema, defs: lambda value: not isinstance(value, dict) or len(value) >= said,
    "type": _type,
    "enum": lambda said, schema, defs: lambda value: any(_equals(one, value) for one in said),
    "properties": _properties,
    "additionalProperties": _others,
    "required": lambda said, schema, defs: lambda value: not isinstance(value, dict) or all(name in value for name in said),
    "items": _items,
    "contains": _contains,
    "maxItems": lambda said, schema, defs: lambda value: not isinstance(value, list) or len(value) <= said,
    "maxProperties": lambda said, schema, defs: lambda value: not isinstance(value, dict) or len(value) <= said,
    "minItems": lambda said, schema, defs: lambda value: not isinstance(value, list) or len(value) >= said,
    "uniqueItems": lambda said, schema, defs: lambda value: not said or not isinstance(value, list) or _are_unlike(value),
    "pattern": lambda said, schema, defs: _matches(re.compile(said)),
    "minLength": lambda said, schema, defs: lambda value: not isinstance(value, str) or len(value) >= said,
    "minimum": lambda said, schema, defs: lambda value: not _is_number(value) or value >= said,
    "maximum": lambda said, schema, defs: lambda value: not _is_number(value) or value <= said,
    "exclusiveMinimum": lambda said, schema, defs: lambda value: not _is_number(value) or value > said,
    "exclusiveMaximum": lambda said, schema, defs: lambda value: not _is_number(value) or value < said,
}
