"""From a Python annotation to JSON Schema, by its syntax."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

from compiler.backends.extract.classes import Sources

ANYTHING: Mapping[str, Any] = {}
_TYPES: Mapping[str, str] = {
    "str": "string", "int": "integer", "float": "number", "bool": "boolean", "None": "null", "dict": "object", "Dict": "object",
    "Mapping": "object", "list": "array", "List": "array", "tuple": "array", "Tuple": "array", "set": "array",
    "Sequence": "array", "DictConfig": "object", "ListConfig": "array",
}  # fmt: skip
_THROUGH = {"Annotated", "InitVar", "Required", "NotRequired", "SkipValidation"}


def schema_of(node: ast.expr, sources: Sources) -> dict[str, Any]:
    """The values that an annotation allows; anything where its syntax does not tell."""
    if isinstance(node, ast.Constant):
        return {"type": "null"} if node.value is None else schema_of(ast.parse(str(node.value), mode="eval").body, sources)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return either([schema_of(node.left, sources), schema_of(node.right, sources)])
    if isinstance(node, ast.Subscript):
        return _subscript(ast.unparse(node.value).rpartition(".")[2], node.slice, sources)
    return _named(ast.unparse(node).rpartition(".")[2], sources)


def _named(name: str, sources: Sources) -> dict[str, Any]:
    members = sources.members(name)
    if name in _TYPES:
        return {"type": _TYPES[name]}
    if members is not None:
        return {"type": "string", "enum": members, "x-closed": True}
    if name in sources.names and name not in sources.classes:
        return schema_of(sources.names[name], sources)
    return dict(ANYTHING)


def _subscript(name: str, inside: ast.expr, sources: Sources) -> dict[str, Any]:
    items = inside.elts if isinstance(inside, ast.Tuple) else [inside]
    if name == "Literal":
        return {"enum": [value for item in items for value in _literal(item, sources)]}
    if name == "Optional":
        return either([schema_of(inside, sources), {"type": "null"}])
    if name == "Union":
        return either(schema_of(item, sources) for item in items)
    if name in _THROUGH:
        return schema_of(items[0], sources)
    if name in ("list", "List", "Sequence", "set"):
        each = schema_of(inside, sources)
        return {"type": "array", **({"items": told(each)} if each else {})}
    return _named(name, sources)


def _literal(item: ast.expr, sources: Sources) -> list[Any]:
    if isinstance(item, ast.Name) and item.id in sources.names:
        return list(schema_of(sources.names[item.id], sources).get("enum", ()))
    return [ast.literal_eval(item)]


def either(schemas: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What one of the schemas allows. Words beside any text are no choice, but those of an enumeration that a text becomes."""
    found = list(schemas)
    if not all(found):
        return dict(ANYTHING)
    closed = any(schema.get("x-closed") for schema in found)
    words = [word for schema in found for word in schema.get("enum", ())]
    types = list(dict.fromkeys(kind for schema in found for kind in _types(schema)))
    if words and (closed or "string" not in [k for schema in found if "enum" not in schema for k in _types(schema)]):
        rest = [kind for kind in types if kind not in ("string", "null")]
        if not rest:
            return {"enum": [*words, *([None] if "null" in types else [])], **({"x-closed": True} if closed else {})}
    inner = next((schema["items"] for schema in found if "items" in schema), None)
    return {"type": types[0] if len(types) == 1 else types, **({"items": inner} if inner else {})}


def _types(schema: Mapping[str, Any]) -> list[str]:
    kinds = schema.get("type") or list(dict.fromkeys(kind_of(word) for word in schema["enum"]))
    return [kinds] if isinstance(kinds, str) else list(kinds)


def kind_of(value: Any) -> str:
    """The JSON type of a value."""
    names = {"NoneType": "null", "bool": "boolean", "int": "integer", "float": "number", "str": "string", "dict": "object"}
    return names.get(type(value).__name__, "array")


def told(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema as it is written: without what only this module asks of it."""
    return {key: value for key, value in schema.items() if key != "x-closed"}


def with_default(schema: dict[str, Any], value: Any) -> dict[str, Any]:
    """The schema with its default, which it allows whatever its annotation says."""
    found, kind = told(schema), kind_of(value)
    if "enum" in found and value not in found["enum"]:
        found["enum"] = [*found["enum"], value]
    kinds = found.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and kind not in kinds and not (kind == "integer" and "number" in kinds):
        found["type"] = [*kinds, kind]
    return {**found, "default": value}
