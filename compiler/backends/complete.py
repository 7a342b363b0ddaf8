"""A config as text: in the package's own order, its defaults where nothing is said, and sources behind what a study says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Any

from compiler.backends.options import Names, Options, laid_over, leaves, option, placed
from compiler.backends.rendering import Line, lines_of, places, unmarked
from compiler.configs import parse_config
from compiler.language.source import PathKey
from compiler.text import yaml_block, yaml_flow

Said = Callable[[tuple[str, ...]], str]  # who or what place says a setting, empty where nothing does
NOTHING = Line()
STEP = 2  # blanks that a mapping stands further in


@dataclass(frozen=True)
class Rendered:
    """A template's output: its text, what it says, and what is known of the line of each key."""

    text: str
    config: Any
    lines: Mapping[PathKey, Line]

    @property
    def named(self) -> Mapping[PathKey, Names]:
        """The settings behind each key."""
        return {path: line.settings for path, line in self.lines.items()}


@dataclass(frozen=True)
class Laid:
    """Lines of a config without the last line end, and what is said behind the last one."""

    text: str
    line: Line = NOTHING


def rendered(marked: str) -> Rendered:
    """What a template's output with its marks says."""
    text, known = unmarked(marked), lines_of(marked)
    return Rendered(text, parse_config(text), {path: known[line] for path, line in places(text).items()})


def laid_out(found: Rendered, groups: Mapping[str, Mapping[str, Any]], options: Options) -> tuple[Laid, ...]:
    """The lines of a config with the package's options. `groups` holds the options given in settings and in execution."""
    config, lines = found.config, dict(found.lines)
    for group, given in groups.items():
        config = laid_over(config, placed(given, options.at))
        lines.update({(*options.at, *path): Line(((group, "options", *map(str, path)),)) for path in leaves(given)})
    schema = options.schema if options.complete else {}
    head = [Laid(line) for line in takewhile(lambda line: line.startswith("#"), found.text.splitlines())]
    return (*head, *_laid(config, (), options, schema, lines))


def told(laid: tuple[Laid, ...], said: Said) -> str:
    """The text, with the sources of its values."""
    return "".join(f"{piece.text}{_behind(piece.line, said)}\n" for piece in laid)


def _behind(line: Line, said: Said) -> str:
    """The comment of a line: where its values come from, then what its template has to say."""
    deepest = [name for name in line.settings if not any(other[: len(name)] == name != other for other in line.settings)]
    sources = dict.fromkeys(source for source in (said(name) for name in deepest) if source)
    words = [word for word in (", ".join(sources), line.comment) if word]
    return "  # " + "; ".join(words).encode("unicode_escape").decode() if words else ""


def _laid(
    values: Mapping[str, Any], path: PathKey, options: Options, schema: Any, lines: Mapping[PathKey, Line]
) -> Iterator[Laid]:
    """A mapping: what the package does not have comes first at the top, and last below; the rest in the package's order."""
    own = schema.get("properties", {})
    others = [key for key in values if key not in own]
    pad = " " * STEP * len(path)
    for key in [*own, *others] if path else [*others, *own]:
        here = (*path, key)
        if key not in values:
            yield Laid(_default_text(options, here))
        elif isinstance(values[key], Mapping) and values[key]:
            yield Laid(f"{pad}{yaml_flow(key)}:")
            yield from _laid(values[key], here, options, own.get(key, {}), lines)
        else:
            yield Laid(f"{pad}{yaml_flow(key)}: {yaml_flow(values[key])}", lines.get(here, NOTHING))


@cache
def _default_text(options: Options, path: PathKey) -> str:
    """What stands at an option of which nothing is said, with all below it."""
    text = yaml_block({path[-1]: default(option(options.schema, path))}, STEP * (len(path) - 1))
    return text.removesuffix("\n")


def default(schema: Mapping[str, Any]) -> Any:
    """The package's own value of an option, a mapping's with all below it."""
    if schema.get("properties"):
        return {key: default(inner) for key, inner in schema["properties"].items()}
    return schema.get("default")
