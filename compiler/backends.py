"""Backends: each is a folder of `templates/backends/`, data before code, that turns settings into a config and a command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from jinja2.environment import TemplateExpression
from pydantic import Field

from compiler.diagnostics import Diagnostic, Position, nearest, spec_error
from compiler.language.source import Tree, read_tree
from compiler.language.study import Name
from compiler.language.validation import Strict, check_schema, parse, shown
from compiler.text import shell_expanded, shell_word, yaml_block, yaml_flow

TEMPLATES = Path(__file__).parent.parent / "templates"


class CrossFieldRule(Strict):
    """What must hold between several values: `that` is an expression over `settings` and `execution`."""

    at: Name
    that: str
    otherwise: str


class BackendFile(Strict):
    """What `backend.yaml` says of a backend.

    `reads` is the type of dataset that an algorithm trains on, `adapter_outputs` what it makes when it trains an adapter only,
    and `steps_an_epoch` an expression over `rows` and `settings` for how many steps it takes to see every row once.
    """

    about: str
    environment: Name
    outputs: dict[Name, str]
    reads: dict[Name, str] = Field(default_factory=dict)
    adapter_outputs: dict[Name, str] = Field(default_factory=dict)
    dataset_format: str = "jsonl"
    steps_an_epoch: dict[Name, str] = Field(default_factory=dict)
    rules: dict[Name, list[CrossFieldRule]] = Field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """One thing a backend does (an algorithm, or a job kind): schema, config template, launch template."""

    backend: str
    what: str
    environment: str
    output: str | None
    reads: str | None
    adapter_output: str | None
    dataset_format: str
    steps_an_epoch: str | None
    schema: Mapping[str, Any]
    config: Template
    launch: Template
    rules: tuple[CrossFieldRule, ...]

    def takes(self, group: str) -> frozenset[str]:
        """The names that the schema knows in `settings` or `execution`."""
        return self._takes.get(group, frozenset())

    @cached_property
    def _takes(self) -> dict[str, frozenset[str]]:
        return {group: frozenset(found.get("properties", {})) for group, found in self.schema["properties"].items()}

    def check(self, group: str, values: Tree, whose: str) -> list[Diagnostic]:
        """What is wrong with `values` as this part's `settings` or `execution`."""
        schema = self.schema["properties"].get(group, {"type": "object", "additionalProperties": False})
        return check_schema({**schema, "$defs": self.schema.get("$defs", {})}, values, f"{group} of {whose}")

    def check_rules(self, settings: Tree, execution: Tree, whose: str) -> list[Diagnostic]:
        """Which cross-field rules the values break, once each value is right for itself."""
        values = {**execution.data, **settings.data}
        found = []
        for rule in self.rules:
            if not _expression(rule.that)(settings=settings.data, execution=execution.data):
                at = (settings if rule.at in settings.data else execution).at((rule.at,))
                message = f"'{rule.at}' of the {whose} is {shown(values.get(rule.at))}"
                found.append(Diagnostic(at, message, rule.otherwise))
        return found

    def epoch(self, rows: int, settings: Mapping[str, Any]) -> int | None:
        """How many steps it takes to see so many rows once; None when that is not known. `settings` must be right."""
        found = _expression(self.steps_an_epoch)(rows=rows, settings=settings) if self.steps_an_epoch else None
        return None if found is None else int(found)

    def render_config(self, settings: Mapping[str, Any], execution: Mapping[str, Any]) -> str:
        """The config file's text. It depends on nothing else, so that jobs with equal settings have equal configs."""
        own = {"backend": self.backend, "what": self.what, "trains": self.reads is not None}
        return self.config.render(settings=settings, execution=execution, part=own)

    def render_launch(self, settings: Mapping[str, Any], execution: Mapping[str, Any], job: Mapping[str, Any]) -> str:
        """The lines of the job's script that run it."""
        return self.launch.render(settings=settings, execution=execution, job=job).rstrip("\n")


@cache
def environment() -> Environment:
    """The Jinja environment of every template: an unknown name is an error, never an empty string."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False, auto_reload=False,
    )  # fmt: skip
    found.filters.update(yaml=yaml_flow, block=yaml_block, sh=shell_word, expanded=shell_expanded)
    return found


@cache
def _expression(text: str) -> TemplateExpression:
    return environment().compile_expression(text)


def part(backend: str, what: str, asked: Position) -> Part:
    """The part of a backend. Raises SpecError at `asked`, the place that names the backend, when there is none."""
    found = _part(backend, what)
    if found is not None:
        return found
    if not (TEMPLATES / "backends" / backend / "backend.yaml").is_file():
        names = [folder.parent.name for folder in TEMPLATES.glob("backends/*/backend.yaml")]
        raise spec_error(asked, f"there is no backend '{backend}'", nearest(backend, names))
    parts = [file.name.split(".")[0] for file in (TEMPLATES / "backends" / backend).glob("*.schema.json")]
    raise spec_error(asked, f"backend '{backend}' cannot do '{what}'", nearest(what, parts))


@cache
def exists(backend: str, what: str) -> bool:
    """Whether a backend has a part of that name."""
    return (TEMPLATES / "backends" / backend / f"{what}.schema.json").is_file()


@cache
def _part(backend: str, what: str) -> Part | None:
    folder = TEMPLATES / "backends" / backend
    schema = folder / f"{what}.schema.json"
    if not schema.is_file():
        return None
    about = parse(BackendFile, read_tree(folder / "backend.yaml"))
    return Part(
        backend=backend, what=what, environment=about.environment, output=about.outputs.get(what),
        reads=about.reads.get(what), adapter_output=about.adapter_outputs.get(what), dataset_format=about.dataset_format,
        steps_an_epoch=about.steps_an_epoch.get(what), schema=json.loads(schema.read_text(encoding="utf-8")),
        config=_template(folder, f"{what}.yaml.j2", "default.yaml.j2"),
        launch=_template(folder, f"{what}.sh.j2", "default.sh.j2"), rules=tuple(about.rules.get(what, ())),
    )  # fmt: skip


def _template(folder: Path, name: str, fallback: str) -> Template:
    """The backend's own template, or the native backend's default."""
    own = folder / name
    chosen = f"backends/{folder.name}/{name}" if own.is_file() else f"backends/native/{fallback}"
    return environment().get_template(chosen)
