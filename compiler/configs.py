"""Reads rendered configs. What templates write is read as JSON, line by line; all else by PyYAML, with the same result.

PyYAML takes a millisecond for a config of thirty lines, which would be most of what compiling takes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import yaml

_KEY = re.compile(r"( *)([A-Za-z_][A-Za-z0-9_]*):(?: +([^# ].*)| +#.*| *)\Z")
_TOKEN = re.compile(
    r'("(?:[^"\\]|\\.)*")'
    r"|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:e[-+][0-9]+)?)?)(?![^,\]} ])"
    r"|([A-Za-z_][A-Za-z0-9_./+-]*)(?![^,:\]} ])"
    r"|(, |: |[\[\]{}])"
    r"|( +#.*\Z)"
    r"|(.)"
)
_JSON = frozenset({"true", "false", "null"})  # words that mean the same in JSON
_WORDS = _JSON | {"yes", "no", "on", "off"}  # words that YAML 1.1 takes for no text, in any case
SHORT = 200  # characters of a value that is likely to come again


class _NotPlain(Exception):
    """The text is YAML that only PyYAML should read."""


def parse_config(text: str) -> Any:
    """What a rendered config says."""
    try:
        lines = [line for line in text.split("\n") if line and not line.isspace() and not line.lstrip().startswith("#")]
        found, end = _mapping(lines, 0, 0)
        if text.isascii() and lines and end == len(lines):
            return found
    except (_NotPlain, json.JSONDecodeError):
        pass
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _mapping(lines: Sequence[str], at: int, margin: int) -> tuple[dict[str, Any], int]:
    """The mapping whose keys stand behind `margin` blanks, from line `at` on; and the line after it."""
    found: dict[str, Any] = {}
    while at < len(lines):
        line = _KEY.match(lines[at])
        if line is None or len(line[1]) > margin:
            raise _NotPlain
        if len(line[1]) < margin:
            break
        name, value = line[2], line[3]
        if name.lower() in _WORDS:
            raise _NotPlain
        if value is None:
            found[name], at = _nested(lines, at + 1, margin)
        else:
            found[name], at = json.loads(_short(value) if len(value) < SHORT else _as_json(value)), at + 1
    return found, at


def _nested(lines: Sequence[str], at: int, margin: int) -> tuple[Any, int]:
    """What stands below a key, from line `at` on: a mapping, a list with an item a line, or nothing."""
    line = lines[at] if at < len(lines) else ""
    deeper = len(line) - len(line.lstrip(" "))
    if line.startswith("-", deeper) and deeper >= margin:
        opening, end = " " * deeper + "- ", at
        while end < len(lines) and lines[end].startswith(opening):
            end += 1
        return [json.loads(_as_json(line[len(opening) :])) for line in lines[at:end]], end
    return _mapping(lines, at, deeper) if deeper > margin else (None, at)


def _as_json(value: str) -> str:
    """A value on one line, as JSON. Raises _NotPlain for what is not surely the same in JSON."""
    return _TOKEN.sub(_token, value)


_short = lru_cache(maxsize=4096)(_as_json)


def _token(found: re.Match[str]) -> str:
    word = found[3]
    if word is None:
        if found[6] is not None:
            raise _NotPlain
        return "" if found[5] else found[0]
    if word.lower() not in _WORDS:
        return f'"{word}"'
    if word not in _JSON:
        raise _NotPlain
    return str(word)
