"""Names that studies and definitions give of other definitions: which fields hold them, and whether there are such."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from compiler.diagnostics import Diagnostic, nearest
from compiler.language.source import PathKey, Tree

EACH, KEY = "*", "[key]"  # steps of a pattern: into every item of a list or value of a mapping; to every key of a mapping


@dataclass(frozen=True)
class Refers:
    """Marks a type as a definition's name, or a list of them: `Annotated[Name, Refers("methods")]`.

    `also` are words that mean no definition.
    """

    section: str
    also: tuple[str, ...] = ()


Pattern = tuple[str, ...]


def unknown_names(
    model: type[BaseModel], tree: Tree, known: Mapping[str, Sequence[str]], more: Sequence[tuple[Pattern, Refers]] = ()
) -> Iterable[Diagnostic]:
    """Every name in `tree`, read as `model`, of a definition that is not among the `known` ones of its section.

    Of a section that is not in `known`, nothing is told. `more` are places of names that the model's types do not tell.
    """
    for pattern, refers in (*patterns(model), *more):
        for path, name in _one_by_one(reached(pattern, tree.data)):
            valid = [*known.get(refers.section, [name]), *refers.also]
            if isinstance(name, str) and name not in valid:
                at = tree.key_at(path) if pattern[-1] == KEY else tree.at(path)
                hint = nearest(name, valid)
                kind = "class of resources" if refers.section == "resources" else refers.section[:-1]
                yield Diagnostic(at, f"there is no {kind} '{name}'", hint)


def _one_by_one(found: Iterable[tuple[PathKey, Any]]) -> Iterator[tuple[PathKey, Any]]:
    """The items of lists in their stead."""
    for path, value in found:
        yield from [((*path, place), item) for place, item in enumerate(value)] if isinstance(value, list) else [(path, value)]


def reached(pattern: Pattern, data: Any, path: PathKey = ()) -> Iterator[tuple[PathKey, Any]]:
    """What a pattern leads to in data, which may be of another shape than its model wants."""
    if not pattern:
        yield path, data
        return
    step, rest = pattern[0], pattern[1:]
    if step == KEY and isinstance(data, dict):
        yield from (((*path, key), key) for key in data)
    elif step == EACH and isinstance(data, dict | list):
        inner = data.items() if isinstance(data, dict) else enumerate(data)
        for key, value in inner:
            yield from reached(rest, value, (*path, key))
    elif isinstance(data, dict) and step in data:
        yield from reached(rest, data[step], (*path, step))


@cache
def patterns(kind: Any) -> tuple[tuple[Pattern, Refers], ...]:
    """Where in data of a type names of definitions stand."""
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        return (*(((), mark) for mark in marks if isinstance(mark, Refers)), *patterns(inner))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return tuple(found for name, field in kind.model_fields.items() for found in _of_field(field.alias or name, field))
    arguments = get_args(kind)
    if get_origin(kind) is dict:
        key, value = arguments
        return tuple([((KEY,), refers) for _, refers in patterns(key)]) + _below(EACH, value)
    if get_origin(kind) is list:
        return _below(EACH, arguments[0])
    return tuple(found for member in arguments if not isinstance(member, str) for found in patterns(member))


def _of_field(name: str, field: Any) -> Iterator[tuple[Pattern, Refers]]:
    yield from (((name,), mark) for mark in field.metadata if isinstance(mark, Refers))
    yield from _below(name, field.annotation)


def _below(step: str, kind: Any) -> tuple[tuple[Pattern, Refers], ...]:
    return tuple([((step, *pattern), refers) for pattern, refers in patterns(kind)])
