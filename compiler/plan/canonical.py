"""The one way in which a plan is written: sorted keys, a value a line, one spelling of each number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache, lru_cache
from json.encoder import encode_basestring
from typing import Any, cast

_STR = frozenset({str})
EXACT = 2**53  # below it, a float and an integer of the same value are the same number to every reader of JSON


def plain(value: Any) -> Any:
    """`value` as JSON has it. Dataclasses and mappings become objects, and whole numbers integers: 3.0 is written 3."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < EXACT else value
    if isinstance(value, str | int):
        return value
    if kind is dict or isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if is_dataclass(value):
        return {name: plain(getattr(value, name)) for name in _names(cast("Any", type(value)))}
    return [plain(item) for item in value]


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _number(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"{value} is no number of JSON")
    return repr(value)


def _spelled(value: float) -> str:
    """A number in its one spelling: 3 for 3.0."""
    return repr(int(value)) if value.is_integer() and abs(value) < EXACT else _number(value)


def canonical_text(data: Any) -> str:
    """Plain data as a file: what json.dumps writes with indent=1 and sorted keys, in a fraction of its time (its fast encoder
    does not indent). Raises ValueError for a number that JSON has not."""
    return indented(data) + "\n"


def written(value: Any, margin: str = "\n") -> str:
    """Any value as a plan has it: the canonical text of what `plain` makes of it, in one pass."""
    return indented(value, margin, _spelled)


def indented(value: Any, margin: str = "\n", number: Callable[[float], str] = _number) -> str:
    """Canonical text where lines begin with `margin`, a line end and blanks, and `number` writes what is no integer."""
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if value is None or kind is bool:
        return {None: "null", True: "true", False: "false"}[value]
    if kind is int:
        return repr(value)
    if isinstance(value, float):
        return number(value)
    if kind is dict:
        return _mapping(value, margin, number)
    if isinstance(value, str | int):
        return encode_basestring(value) if isinstance(value, str) else int.__repr__(value)
    if isinstance(value, Mapping):
        return _mapping(dict(value), margin, number)
    if is_dataclass(value):
        return _mapping({name: getattr(value, name) for name in _names(cast("Any", kind))}, margin, number)
    deeper = margin + " "
    lines = [indented(item, deeper, number) for item in value]
    return "[" + deeper + ("," + deeper).join(lines) + margin + "]" if lines else "[]"


def _mapping(value: dict[Any, Any], margin: str, number: Callable[[float], str]) -> str:
    """An object with sorted keys. Texts and integers, which most values are, are written right here."""
    if not value:
        return "{}"
    deeper, texts = margin + " ", []
    keys, form = _form(tuple(value), margin) if _STR.issuperset(map(type, value)) else _made_form(tuple(value), margin)
    for key in keys:
        item = value[key]
        kind = type(item)
        texts.append(encode_basestring(item) if kind is str else repr(item) if kind is int else indented(item, deeper, number))
    return form % tuple(texts)


def _made_form(keys: tuple[Any, ...], margin: str) -> tuple[list[Any], str]:
    """The keys of an object in their order, and its text with `%s` for each value."""
    ordered = sorted(keys, key=str)
    lines = [encode_basestring(str(key)).replace("%", "%%") + ": %s" for key in ordered]
    return ordered, "{" + margin + " " + ("," + margin + " ").join(lines) + margin + "}"


_form = lru_cache(maxsize=256)(_made_form)  # most objects of a plan have the keys of many others


def pieces(value: Any, margin: str, depth: int) -> Iterator[str]:
    """The canonical text of any data, in parts: none is longer than that of a value `depth` levels below."""
    if depth == 0 or not isinstance(value, Mapping | list | tuple) or not value:
        yield written(value, margin)
        return
    deeper, named = margin + " ", isinstance(value, Mapping)
    opening = "{" if named else "["
    for item in sorted(value) if isinstance(value, Mapping) else value:
        yield opening + deeper
        if isinstance(value, Mapping):
            yield encode_basestring(item) + ": "
        yield from pieces(value[item] if isinstance(value, Mapping) else item, deeper, depth - 1)
        opening = ","
    yield margin + ("}" if named else "]")
