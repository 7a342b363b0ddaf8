"""Templates of configs and scripts: a config's text, and which settings each of its lines was rendered from.

Before Jinja reads a config's template, every line that prints settings gets a mark with their names at its end. The marks come
out again behind the lines that these become, and are taken off there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from jinja2 import BaseLoader, Environment, StrictUndefined, Template, TemplateNotFound, nodes
from jinja2.environment import TemplateExpression

from compiler.backends.folders import template_file
from compiler.language.source import PathKey
from compiler.text import shell_expanded, shell_word, toml_text, yaml_block, yaml_flow

CONFIG = ".yaml.j2"
MARK = "\x1f"  # no YAML file can hold this character
_PRINTED = re.compile(r"\{\{(.*?)\}\}")
_NAMED = re.compile(r"\b(settings|execution)((?:\.[A-Za-z_][A-Za-z0-9_]*)+)")
_QUOTED = re.compile(r"""(?<=[\s\[{,:])("(?:[^"\\]|\\.)*"|'[^']*')""")
_COMMENT = re.compile(r"\s# (.*)\Z")


@dataclass(frozen=True)
class Line:
    """What is known of a line of a config: the settings it was rendered from, as ("settings", "lr"), and its comment."""

    settings: tuple[tuple[str, ...], ...] = ()
    comment: str = ""


class _Templates(BaseLoader):
    """The templates of Lethe and of other packages' backends, those of configs with marks."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        file = template_file(template)
        if not file.is_file():
            raise TemplateNotFound(template)
        text = file.read_text(encoding="utf-8")
        return (_marked(text) if template.endswith(CONFIG) else text), str(file), lambda: True


def _marked(text: str) -> str:
    return "\n".join(line + _mark(line) for line in text.split("\n"))


def _mark(line: str) -> str:
    """The mark of a template's line: the settings in it, and its comment.

    A line that ends with a statement has none, for Jinja takes off the line end behind it.
    """
    named = [group + field for printed in _PRINTED.findall(line) for group, field in _NAMED.findall(printed)]
    comment = _COMMENT.search(_QUOTED.sub("", _PRINTED.sub("", line)))
    none = line.rstrip().endswith("%}") or line.lstrip().startswith("#") or not (named or comment)
    return "" if none else MARK + " ".join(dict.fromkeys(named)) + MARK + (comment[1] if comment else "")


def unmarked(text: str) -> str:
    """A rendered config without the marks."""
    return re.sub(f"{MARK}[^\n]*", "", text)


def lines_of(text: str) -> list[Line]:
    """What the marks of a rendered config say, line by line."""
    return [_line(*f"{line}{MARK}{MARK}".split(MARK)[1:3]) for line in text.split("\n")]


def _line(named: str, comment: str) -> Line:
    return Line(tuple(tuple(name.split(".")) for name in named.split()), comment)


def places(text: str) -> dict[PathKey, int]:
    """The line (from 0) of every key of a config's mappings."""
    return dict(_places(yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)), ()))


def _places(node: yaml.Node | None, path: PathKey) -> Iterator[tuple[PathKey, int]]:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        here = (*path, str(key.value))
        yield here, key.start_mark.line
        yield from _places(value, here)


@cache
def environment() -> Environment:
    """The Jinja environment of every template: an unknown name is an error, never an empty string."""
    found = Environment(
        loader=_Templates(), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        autoescape=False, auto_reload=False,
    )  # fmt: skip
    found.filters.update(yaml=yaml_flow, block=yaml_block, toml=toml_text, sh=shell_word, expanded=shell_expanded)
    return found


def reworked(template: Template) -> frozenset[str] | None:
    """The settings of which a template does more than print each as it is, as `{{ settings.lr | yaml }}` does, and
    `{{ settings | block }}`. None where that cannot be told."""
    tree = _parsed(template)
    imported: list[nodes.Import | nodes.FromImport] = [*tree.find_all(nodes.Import), *tree.find_all(nodes.FromImport)]
    if any(tree.find_all(_ELSEWHERE)) or any(one.with_context for one in imported):
        return None
    printed = [one for output in tree.find_all(nodes.Output) for one in output.nodes if isinstance(one, nodes.Filter)]
    single = {id(one.node) for one in printed if one.name == "yaml"}
    all_of_them = {id(one.node) for one in printed if one.name == "block"}
    read = _read_of_settings(tree)
    named = {id(one.node) for one in read} | all_of_them
    if any(one.name == "settings" and id(one) not in named for one in tree.find_all(nodes.Name)):
        return None
    return frozenset(one.attr for one in read if id(one) not in single)


# What comes of these may stand in another place than where it is written.
_ELSEWHERE = (
    nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.AssignBlock, nodes.Block, nodes.Include, nodes.Extends,
)  # fmt: skip


def _parsed(template: Template) -> nodes.Template:
    loader = environment().loader
    if loader is None or template.name is None:
        raise RuntimeError("a template of a backend comes from a file")
    return environment().parse(loader.get_source(environment(), template.name)[0])


def _read_of_settings(tree: nodes.Node) -> list[nodes.Getattr]:
    found = tree.find_all(nodes.Getattr)
    return [one for one in found if isinstance(one.node, nodes.Name) and one.node.name == "settings"]


@cache
def settings_read(rule: str) -> frozenset[str] | None:
    """The settings that an expression reads; None where it reads them in another way than by their names."""
    tree = environment().parse("{{ " + rule + " }}")
    read = _read_of_settings(tree)
    whole = [name for name in tree.find_all(nodes.Name) if name.name == "settings"]
    return frozenset(one.attr for one in read) if len(read) == len(whole) else None


@cache
def expression(text: str) -> TemplateExpression:
    """A rule's expression, compiled."""
    return environment().compile_expression(text)


def holds(rule: str, values: Mapping[str, Any]) -> bool:
    """Whether an expression over named values is true."""
    return bool(expression(rule)(**values))
