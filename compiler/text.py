"""How values are written in generated files: YAML that YAML 1.1 and 1.2 readers agree on, shell words, canonical JSON."""

from __future__ import annotations

import json
import math
import re
import shlex
from functools import lru_cache
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./+-]*\Z")
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_YAML_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"}


def yaml_flow(value: Any) -> str:
    """`value` as YAML on one line."""
    if type(value) is str:
        return _yaml_text(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{yaml_flow(str(k))}: {yaml_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(yaml_flow(item) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return _yaml_float(value)
    if isinstance(value, int):
        return str(value)
    return _yaml_text(str(value))


@lru_cache(maxsize=1 << 15)
def _yaml_text(text: str) -> str:
    plain = _PLAIN.match(text) and text.lower() not in _YAML_WORDS
    return text if plain else re.sub(r"[^ -~]", _yaml_escape, json.dumps(text, ensure_ascii=False))


def _yaml_escape(found: re.Match[str]) -> str:
    """A character as YAML writes it in double quotes: unlike JSON, never as a pair of surrogates."""
    code = ord(found.group())
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def yaml_block(value: Any, indent: int = 0) -> str:
    """`value` as YAML, one key or item a line; what is empty or short of structure stays on its line."""
    pad = " " * indent
    if isinstance(value, dict) and value:
        return "".join(f"{pad}{yaml_flow(str(key))}:{_block_value(item, indent)}" for key, item in value.items())
    if isinstance(value, list | tuple) and value:
        return "".join(f"{pad}- {yaml_flow(item)}\n" for item in value)
    return f"{pad}{yaml_flow(value)}\n"


def _block_value(value: Any, indent: int) -> str:
    nested = isinstance(value, dict | list | tuple) and len(value) > 0
    short = isinstance(value, list | tuple) and not any(isinstance(item, dict | list) for item in value)
    if nested and not short:
        return "\n" + yaml_block(value, indent + 2)
    return f" {yaml_flow(value)}\n"


def _yaml_float(value: float) -> str:
    """YAML 1.1 readers take `1e-05` for text, so the mantissa always has its point."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}[str(value)]
    text = repr(value)
    return text.replace("e", ".0e", 1) if "e" in text and "." not in text else text


def canonical_json(value: Any) -> str:
    """The one JSON text of `value`: keys sorted, no blanks. Raises TypeError for what has none, ValueError for nan."""
    return _CANONICAL.encode(value)


def shell_word(value: Any) -> str:
    """`value` as exactly one word of bash."""
    return shlex.quote(str(value))


@lru_cache
def shell_expanded(value: Any) -> str:
    """`value` in double quotes, where `$NAME` and `${NAME}` are meant to be expanded and nothing else is."""
    return '"' + re.sub(r'["`\\]|\$(?![A-Za-z_]|\{[A-Za-z_][A-Za-z0-9_]*\})', r"\\\g<0>", str(value)) + '"'


def toml_text(value: Any) -> str:
    """A mapping as TOML: its own values, then a table for each mapping in it. Raises ValueError for null, which TOML lacks."""
    return "\n".join(_toml_lines(value, ())).strip("\n") + "\n"


def _toml_lines(table: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    own = [f"{_toml_key(key)} = {_toml_value(item)}" for key, item in table.items() if not isinstance(item, dict)]
    inner = [line for key, item in table.items() if isinstance(item, dict) for line in _toml_lines(item, (*path, key))]
    heading = ["", f"[{'.'.join(map(_toml_key, path))}]"] if path and (own or not inner) else []
    return [*heading, *own, *inner]


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_value(key)


def _toml_value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml_key(key)} = {_toml_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None:
        raise ValueError("TOML has no null: leave the key out")
    if isinstance(value, str):
        return re.sub(r"[^ -~]", _yaml_escape, json.dumps(value, ensure_ascii=False))
    return yaml_flow(value)
