"""JSON Schema as backends' schemas mean it: whether a value is right, quickly; what is wrong with it, jsonschema says."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
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


def surely_right(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether a value is right, in a twentieth of the time that jsonschema takes; what is not simple is left to that."""
    for keyword, said in schema.items():  # no generator here and below: this is called for every value of a plan
        check = _SIMPLE.get(keyword)
        if check is None:
            return "$ref" not in schema and bool(Validator(schema).is_valid(value))  # only the whole has what is referred to
        if not check(said, value, schema):
            return False
    return True


def _properties(said: Mapping[str, Any], value: Any, schema: Mapping[str, Any]) -> bool:
    for name, item in value.items() if isinstance(value, dict) else ():
        if name in said and not surely_right(said[name], item):
            return False
    return True


def _others(said: Any, value: Any, schema: Mapping[str, Any]) -> bool:
    known = schema.get("properties", {})
    for name, item in value.items() if isinstance(value, dict) else ():
        if name not in known and not (isinstance(said, dict) and surely_right(said, item)):
            return False
    return True


def _type(said: Any, value: Any, schema: Mapping[str, Any]) -> bool:
    return _TYPES[said](value) if isinstance(said, str) else any(_TYPES[name](value) for name in said)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_unlike(values: list[Any]) -> bool:
    """Whether all are texts, and no two the same; of anything else jsonschema tells."""
    return all(type(value) is str for value in values) and len(set(values)) == len(values)


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool), "number": _is_number,
    "string": lambda value: isinstance(value, str), "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None, "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}  # fmt: skip

_SIMPLE: Mapping[str, Callable[[Any, Any, Mapping[str, Any]], bool]] = {
    "description": lambda said, value, schema: True,
    "$defs": lambda said, value, schema: True,
    "type": _type,
    "enum": lambda said, value, schema: any(type(one) is type(value) and one == value for one in said),
    "properties": _properties,
    "additionalProperties": _others,
    "required": lambda said, value, schema: not isinstance(value, dict) or all(name in value for name in said),
    "items": lambda said, value, schema: not isinstance(value, list) or all(surely_right(said, item) for item in value),
    "minItems": lambda said, value, schema: not isinstance(value, list) or len(value) >= said,
    "uniqueItems": lambda said, value, schema: not said or not isinstance(value, list) or _are_unlike(value),
    "pattern": lambda said, value, schema: not isinstance(value, str) or re.search(said, value) is not None,
    "minLength": lambda said, value, schema: not isinstance(value, str) or len(value) >= said,
    "minimum": lambda said, value, schema: not _is_number(value) or value >= said,
    "maximum": lambda said, value, schema: not _is_number(value) or value <= said,
    "exclusiveMinimum": lambda said, value, schema: not _is_number(value) or value > said,
    "exclusiveMaximum": lambda said, value, schema: not _is_number(value) or value < said,
}
