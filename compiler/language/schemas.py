"""JSON Schema as backends' schemas mean it: whether a value is right, quickly; what is wrong with it, jsonschema says."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

from jsonschema import Draft202012Validator, validators


def _is_finite(checker: Any, value: Any) -> bool:
    return Draft202012Validator.TYPE_CHECKER.is_type(value, "number") and math.isfinite(value)


def _is_integer(checker: Any, value: Any) -> bool:
    """Unlike JSON Schema's, without 3.0, which a config would pass on as it is."""
    return isinstance(value, int) and not isinstance(value, bool)


Validator: type[Draft202012Validator] = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many({"number": _is_finite, "integer": _is_integer}),
)


BY_PROPERTY = frozenset({"description", "$defs", "type", "properties", "additionalProperties", "required"})
"""Keywords of a schema of mappings by which each value is right or wrong whatever the others are."""


Check = Callable[[Any], bool]


def surely_right(schema: Mapping[str, Any], value: Any, *, whole: bool = True) -> bool:
    """Whether a value is right, in a fraction of the time that jsonschema takes; what is not simple is left to that.

    One that is not the `whole` may lack what must be there.
    """
    return checker(schema if whole else {keyword: said for keyword, said in schema.items() if keyword != "required"})(value)


def checker(schema: Mapping[str, Any]) -> Check:
    """What tells of values whether they are right, as `surely_right` does of one."""
    if "$ref" in schema:
        return lambda value: False  # only the whole has what is referred to
    if not schema.keys() <= _SIMPLE.keys():
        return lambda value: bool(Validator(schema).is_valid(value))
    checks = [check for keyword, said in schema.items() if (check := _SIMPLE[keyword](said, schema))]
    return reduce(_both, checks) if checks else lambda value: True


def _both(one: Check, other: Check) -> Check:
    return lambda value: one(value) and other(value)


def _properties(said: Mapping[str, Any], schema: Mapping[str, Any]) -> Check:
    known: dict[str, Check] = {}

    def check(value: Any) -> bool:
        for name, item in value.items() if isinstance(value, dict) else ():
            if name in said and not (known.get(name) or known.setdefault(name, checker(said[name])))(item):
                return False
        return True

    return check


def _others(said: Any, schema: Mapping[str, Any]) -> Check:
    known, right = schema.get("properties", {}), checker(said) if isinstance(said, dict) else None

    def check(value: Any) -> bool:
        for name, item in value.items() if isinstance(value, dict) else ():
            if name not in known and not (right and right(item)):
                return False
        return True

    return check


def _items(said: Any, schema: Mapping[str, Any]) -> Check:
    right = checker(said)
    return lambda value: not isinstance(value, list) or all(map(right, value))


def _type(said: Any, schema: Mapping[str, Any]) -> Check:
    if isinstance(said, str):
        return _TYPES[said]
    kinds = [_TYPES[name] for name in said]
    return lambda value: any(is_one(value) for is_one in kinds)


def _matches(pattern: re.Pattern[str]) -> Check:
    return lambda value: not isinstance(value, str) or pattern.search(value) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_unlike(values: list[Any]) -> bool:
    """Whether all are texts, and no two the same; of anything else jsonschema tells."""
    return all(type(value) is str for value in values) and len(set(values)) == len(values)


_TYPES: Mapping[str, Check] = {
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool), "number": _is_number,
    "string": lambda value: isinstance(value, str), "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None, "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}  # fmt: skip

_SIMPLE: Mapping[str, Callable[[Any, Mapping[str, Any]], Check | None]] = {
    "description": lambda said, schema: None,
    "$defs": lambda said, schema: None,
    "type": _type,
    "enum": lambda said, schema: lambda value: any(type(one) is type(value) and one == value for one in said),
    "properties": _properties,
    "additionalProperties": _others,
    "required": lambda said, schema: lambda value: not isinstance(value, dict) or all(name in value for name in said),
    "items": _items,
    "minItems": lambda said, schema: lambda value: not isinstance(value, list) or len(value) >= said,
    "uniqueItems": lambda said, schema: lambda value: not said or not isinstance(value, list) or _are_unlike(value),
    "pattern": lambda said, schema: _matches(re.compile(said)),
    "minLength": lambda said, schema: lambda value: not isinstance(value, str) or len(value) >= said,
    "minimum": lambda said, schema: lambda value: not _is_number(value) or value >= said,
    "maximum": lambda said, schema: lambda value: not _is_number(value) or value <= said,
    "exclusiveMinimum": lambda said, schema: lambda value: not _is_number(value) or value > said,
    "exclusiveMaximum": lambda said, schema: lambda value: not _is_number(value) or value < said,
}
