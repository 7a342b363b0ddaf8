"""One part of a backend: what it takes, the rules between its values, and the config and script they become."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Template
from pydantic import Field

from compiler.backends.complete import Laid, Rendered, laid_out, rendered, told
from compiler.backends.folders import ABOUT, folder_of, names
from compiler.backends.options import (
    GROUPS,
    OPTIONS,
    Options,
    found_at,
    laid_over,
    option,
    overlay,
    placed,
    read_options,
    taken,
    with_names,
    with_options,
    without,
)
from compiler.backends.rendering import environment, expression, holds, reworked, settings_read, unmarked
from compiler.configs import parse_config
from compiler.diagnostics import Diagnostic, Position, nearest, spec_error
from compiler.environments.needs import Ask, Needs
from compiler.language.schemas import BY_PROPERTY, Check, checker
from compiler.language.source import Tree, read_tree
from compiler.language.study import Name
from compiler.language.validation import Strict, check_schema, parse, shown
from compiler.text import canonical_json

DEFAULT = "backends/native/default.yaml.j2"  # the config of a part that has no template of its own


class CrossFieldRule(Strict):
    """What must hold between several values: `that` is an expression over `settings`, `execution` and `option("A.B")`, one of
    the package's own; `at` is the value to blame (one of the package's: `options.A.B`), `source` where the rule is said."""

    at: str = Field(min_length=1)
    that: str
    otherwise: str
    source: str = Field(min_length=1)


class Decisive(Strict):
    """An execution value that decides the result where `when`, an expression over `settings` and `execution`, holds.

    `source` is where the code is that makes it so.
    """

    value: Name
    when: str = "true"
    source: str = Field(min_length=1)


class Begins(Strict):
    """The type of checkpoint that a training begins from, where not any will do; `otherwise` says where to get one."""

    type: str
    otherwise: str


class BackendFile(Strict):
    """What `backend.yaml` says of a backend.

    `reads` is the type of dataset that an algorithm trains on, `begins` the type of checkpoint that it begins from where not
    any will do, `adapter_outputs` what it makes when it trains an adapter only, and `steps_an_epoch` an expression over `rows`
    and `settings` for how many steps it takes to see every row once. `needs` are packages, with their versions, that its
    environment must have, `part_needs` those that only some parts need there, and `capabilities` what its parts must be able to
    do there. `decisive` are the execution values that are part of the fingerprint all the same.
    """

    about: str
    environment: Name
    outputs: dict[Name, str]
    reads: dict[Name, str] = Field(default_factory=dict)
    begins: dict[Name, Begins] = Field(default_factory=dict)
    adapter_outputs: dict[Name, str] = Field(default_factory=dict)
    dataset_format: str = "jsonl"
    steps_an_epoch: dict[Name, str] = Field(default_factory=dict)
    rules: dict[Name, list[CrossFieldRule]] = Field(default_factory=dict)
    decisive: dict[Name, list[Decisive]] = Field(default_factory=dict)
    needs: Needs = Field(default_factory=dict)
    part_needs: dict[Name, Needs] = Field(default_factory=dict)
    capabilities: dict[Name, list[Ask]] = Field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """One thing a backend does (an algorithm, or a job kind): schema, config template, launch template.

    Templates are named here, and compiled when they are asked for: a catalog has more parts than a study uses.
    """

    backend: str
    what: str
    environment: str
    output: str | None
    reads: str | None
    adapter_output: str | None
    dataset_format: str
    steps_an_epoch: str | None
    schema: Mapping[str, Any]
    config_file: str
    launch_file: str
    rules: tuple[CrossFieldRule, ...]
    options: Options | None = None
    more_files: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    capabilities: tuple[Ask, ...] = ()
    decisive: tuple[Decisive, ...] = ()
    begins: Begins | None = None

    @cached_property
    def config(self) -> Template:
        return environment().get_template(self.config_file)

    @cached_property
    def launch(self) -> Template:
        return environment().get_template(self.launch_file)

    @cached_property
    def more(self) -> Mapping[str, Template]:
        """Templates of further config files, by the end of their names."""
        return {end: environment().get_template(file) for end, file in self.more_files.items()}

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

    def check_rules(
        self, settings: Tree, execution: Tree, whose: str, rules: Sequence[CrossFieldRule] | None = None
    ) -> list[Diagnostic]:
        """Which cross-field rules, by default all, the values break, once each value is right for itself."""
        given = {"settings": settings.data, "execution": execution.data, "option": self._option(settings, execution)}
        broken = [rule for rule in (self.rules if rules is None else rules) if not holds(rule.that, given)]
        return [self._broken(rule, settings, execution, whose) for rule in broken]

    def prints(self, setting: str) -> bool:
        """Whether a config says a setting's value as it is, and nothing else in it, or in what is decisive of it, depends on
        that."""
        return self._minded is not None and setting not in self._minded and not self.more_files

    @cached_property
    def _minded(self) -> frozenset[str] | None:
        """The settings by which more is decided than what the config says of themselves; None where that cannot be told."""
        read = [reworked(self.config), *(settings_read(one.when) for one in self.decisive)]
        known = [one for one in read if one is not None]
        return frozenset({OPTIONS}).union(*known) if len(known) == len(read) else None

    def check_numbers(self, names: frozenset[str], settings: Tree, execution: Tree, whose: str) -> list[Diagnostic]:
        """What is wrong with settings that differ from right ones in the numbers of these `names` alone.

        What cannot depend on them was checked there: other values, rules on others, which options Lethe sets itself.
        """
        if names not in self._on_numbers:
            self._on_numbers[names] = self._checks_on(names)
        checks, rules = self._on_numbers[names]
        if not checks or not all(check(settings.data[name]) for name, check in checks.items()):
            wrong = self.check("settings", settings, whose)
            if wrong:
                return wrong
        return self.check_rules(settings, execution, whose, rules) if rules else []

    @cached_property
    def _on_numbers(self) -> dict[frozenset[str], tuple[Mapping[str, Check], Sequence[CrossFieldRule]]]:
        return {}

    def _checks_on(self, names: frozenset[str]) -> tuple[Mapping[str, Check], Sequence[CrossFieldRule]]:
        """What tells of each of these settings that it is right, where one tells by itself, and the rules that may read one."""
        schema = self.schema["properties"]["settings"]
        simple, defs = schema.keys() <= BY_PROPERTY, self.schema.get("$defs", {})
        checks = {name: checker(schema["properties"][name], defs) for name in names} if simple else {}
        return checks, [rule for rule in self.rules if (read := settings_read(rule.that)) is None or read & names]

    def _broken(self, rule: CrossFieldRule, settings: Tree, execution: Tree, whose: str) -> Diagnostic:
        path = tuple(rule.at.split("."))
        tree = settings if found_at(settings.data, path) is not None else execution
        value = found_at(tree.data, path)
        if value is None and path[0] == OPTIONS:  # left at the package's default, beside a setting that this does not go with
            value = self._option(settings, execution)(".".join(path[1:]))
        return Diagnostic(tree.at(path), f"'{rule.at}' of the {whose} is {shown(value)}", rule.otherwise)

    def _option(self, settings: Tree, execution: Tree) -> Callable[[str], Any]:
        """What rules ask of the package's own options, by their dotted names: what is given, or the package's default."""
        given, schema = overlay(settings.data, execution.data), self.options.schema if self.options else {}

        def found(name: str) -> Any:
            path = tuple(name.split("."))
            value = found_at(given, path)
            return option(schema, path).get("default") if value is None else value

        return found

    def asks(self, settings: Mapping[str, Any], execution: Mapping[str, Any]) -> tuple[Ask, ...]:
        """The capabilities that a job with these values needs of its environment."""
        values = {"settings": settings, "execution": execution}
        return tuple(ask for ask in self.capabilities if holds(ask.when, values))

    def epoch(self, rows: int, settings: Mapping[str, Any]) -> int | None:
        """How many steps it takes to see so many rows once; None when that is not known. `settings` must be right."""
        if self.steps_an_epoch is None:
            return None
        read = settings_read(self.steps_an_epoch)
        given = {name: settings[name] for name in (settings if read is None else sorted(read)) if name in settings}
        return _epoch(self.steps_an_epoch, rows, canonical_json(given))

    def check_options(self, settings: Tree, execution: Tree, whose: str) -> list[Diagnostic]:
        """Which of the package's options, each right for itself, Lethe sets already. Settings and execution must be right."""
        given = {group: tree for group, tree in zip(GROUPS, (settings, execution), strict=True) if tree.data.get(OPTIONS)}
        if self.options is None or not given:
            return []
        found = self._rendered(settings.data, execution.data)
        config, named, wrong = found.config, dict(found.named), list[Diagnostic]()
        for group, tree in given.items():
            own = tree.below((OPTIONS,))
            wrong += taken(self.options, config, named, own, f"{group} of {whose}")
            config = laid_over(config, placed(own.data, self.options.at))
        return wrong

    def config_of(self, settings: Mapping[str, Any], execution: Mapping[str, Any]) -> Any:
        """What the config says beyond the package's own defaults. It depends on nothing else, so that jobs with equal settings
        have equal configs."""
        if self.config_file == DEFAULT and self.reads is None and not execution and OPTIONS not in settings:
            return settings  # which is all that the default template says, one by one
        said = parse_config(unmarked(self._marked(settings, execution)))
        given = overlay(settings, execution)
        return laid_over(said, placed(given, self.options.at)) if self.options and given else said

    def decisive_config(self, settings: Mapping[str, Any], execution: Mapping[str, Any]) -> Any:
        """The config as the fingerprint sees it: with every execution value blank but those that decide the result."""
        values = {"settings": settings, "execution": execution}
        kept = {one.value for one in self.decisive if holds(one.when, values)}
        return self.config_of(
            settings, {name: execution.get(name) if name in kept else None for name in self.takes("execution")}
        )

    def render_config(self, settings: Mapping[str, Any], execution: Mapping[str, Any]) -> str:
        """The config file's text, without a word on where its values come from."""
        return told(self.lay_out(settings, execution), lambda setting: "")

    def lay_out(self, settings: Mapping[str, Any], execution: Mapping[str, Any]) -> tuple[Laid, ...]:
        """The config file's lines with the settings behind each; without a package's options, the template's text."""
        given = {group: values.get(OPTIONS) or {} for group, values in zip(GROUPS, (settings, execution), strict=True)}
        if self.options is None:
            return (Laid(unmarked(self._marked(settings, execution)).removesuffix("\n")),)
        return laid_out(self._rendered(settings, execution), given, self.options)

    def _rendered(self, settings: Mapping[str, Any], execution: Mapping[str, Any]) -> Rendered:
        return rendered(self._marked(settings, execution))

    def _marked(self, settings: Mapping[str, Any], execution: Mapping[str, Any]) -> str:
        own = {"backend": self.backend, "what": self.what, "trains": self.reads is not None, "package": self.package}
        return self.config.render(settings=without(settings), execution=without(execution), part=own)

    @property
    def package(self) -> str | None:
        """The package that runs this part, with its version, as in `verl 0.9.1`."""
        return f"{self.options.package} {self.options.version}" if self.options else None

    def render_more(self, settings: Mapping[str, Any], execution: Mapping[str, Any]) -> dict[str, str]:
        """Further files that say what the config says in other forms: the end of their names -> text."""
        said = self.config_of(settings, execution) if self.more else None
        return {name: template.render(config=said).rstrip("\n") + "\n" for name, template in self.more.items()}

    def render_launch(self, settings: Mapping[str, Any], execution: Mapping[str, Any], job: Mapping[str, Any]) -> str:
        """The lines of the job's script that run it."""
        return self.launch.render(settings=settings, execution=execution, job=job).rstrip("\n")


@lru_cache(maxsize=4096)
def _epoch(steps: str, rows: int, settings: str) -> int | None:
    """What an expression comes to for so many rows and for these settings, as JSON."""
    found = expression(steps)(rows=rows, settings=json.loads(settings))
    return None if found is None else int(found)


def part(backend: str, what: str, asked: Position) -> Part:
    """The part of a backend. Raises SpecError at `asked`, the place that names the backend, when there is none."""
    found = _part(backend, what)
    if found is not None:
        return found
    folder = folder_of(backend)
    if folder is None:
        raise spec_error(asked, f"there is no backend '{backend}'", nearest(backend, names()))
    parts = [file.name.split(".")[0] for file in folder.glob("*.schema.json")]
    raise spec_error(asked, f"backend '{backend}' cannot do '{what}'", nearest(what, parts))


@cache
def exists(backend: str, what: str) -> bool:
    """Whether a backend has a part of that name."""
    folder = folder_of(backend)
    return folder is not None and (folder / f"{what}.schema.json").is_file()


@cache
def _part(backend: str, what: str) -> Part | None:
    folder = folder_of(backend)
    if folder is None or not (folder / f"{what}.schema.json").is_file():
        return None
    about = parse(BackendFile, read_tree(folder / ABOUT))
    options = read_options(folder / OPTIONS / f"{what}.json")
    schema = json.loads((folder / f"{what}.schema.json").read_text(encoding="utf-8"))
    return Part(
        backend=backend, what=what, environment=about.environment, output=about.outputs.get(what),
        reads=about.reads.get(what), adapter_output=about.adapter_outputs.get(what), dataset_format=about.dataset_format,
        steps_an_epoch=about.steps_an_epoch.get(what), schema=with_options(with_names(schema, folder / OPTIONS), options),
        config_file=_template(backend, folder, f"{what}.yaml.j2", DEFAULT),
        launch_file=_template(backend, folder, f"{what}.sh.j2", "backends/native/default.sh.j2"),
        rules=tuple(about.rules.get(what, ())),
        options=options, more_files=_more(backend, folder, what), needs={**about.needs, **about.part_needs.get(what, {})},
        capabilities=tuple(about.capabilities.get(what, ())), decisive=tuple(about.decisive.get(what, ())),
        begins=about.begins.get(what),
    )  # fmt: skip


def _template(backend: str, folder: Path, name: str, fallback: str) -> str:
    """The backend's own template, or the native backend's default."""
    return f"backends/{backend}/{name}" if (folder / name).is_file() else fallback


def _more(backend: str, folder: Path, what: str) -> dict[str, str]:
    """Templates of a part's further config files, by the end of the name: `trainer.toml` of `rl.trainer.toml.j2`."""
    names = sorted(file.name for file in folder.glob(f"{what}.*.*.j2"))
    return {name[len(what) + 1 : -3]: f"backends/{backend}/{name}" for name in names}
