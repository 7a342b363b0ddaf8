"""The real study's settings, put together as the compiler does it: an algorithm's, its domain's, what the cell gives."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from compiler.backends import Part, part
from compiler.configs import parse_config
from compiler.diagnostics import Position
from compiler.language.catalog import Catalog, read_catalog
from compiler.language.definitions import Algorithm, Domain, Suite
from compiler.language.source import Tree

HERE = Position("tests")
DOMAINS = ("math", "code", "qa")
PROMPTS: Mapping[str, Mapping[str, Any]] = {
    "base": {"template": "plain", "thinking": False},
    "safe": {"template": "chat", "thinking": False},
}
GIVEN: Mapping[str, Any] = {"devices": 2, "report_to": "wandb"}


@cache
def catalog() -> Catalog:
    """The whole catalog that the project ships."""
    return read_catalog([Path("specs/catalog")], Tree("tests", {}))


def algorithm(name: str, domain: str, start: str = "base") -> tuple[Part, dict[str, Any]]:
    """An algorithm's part, and `{"settings", "execution"}` for a cell of that domain and start."""
    found, place = catalog().get(Algorithm, name, HERE), catalog().get(Domain, domain, HERE)
    what = part(found.backend, name, HERE)
    given = {"grader": place.grader, "prompt": PROMPTS[start]}
    settings = {**found.settings, **place.algorithms[name]}
    settings |= {key: value for key, value in given.items() if key in what.takes("settings")}
    execution = found.execution | {key: value for key, value in GIVEN.items() if key in what.takes("execution")}
    return what, copy.deepcopy({"settings": settings, "execution": dict(execution)})


def suite(name: str, **given: Any) -> tuple[Part, dict[str, Any]]:
    """A suite's part, and what its config is rendered from."""
    found = catalog().get(Suite, name, HERE)
    return part(found.backend, "evaluate", HERE), copy.deepcopy(
        {"settings": {"suite": name, **given, **found.settings}, "execution": dict(found.execution)}
    )


def wrong(what: Part, values: Mapping[str, Any]) -> list[str]:
    """What the schema finds wrong (the place and the message of each error), and then what the cross-field rules do."""
    errors = Draft202012Validator(what.schema).iter_errors(values)
    found = [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]
    settings, execution = Tree("tests", values["settings"]), Tree("tests", values["execution"])
    return found or [f"{d.message}: {d.hint}" for d in what.check_rules(settings, execution, "values")]


def rendered(what: Part, values: Mapping[str, Any]) -> Any:
    """The config, parsed."""
    return parse_config(text(what, values))


def text(what: Part, values: Mapping[str, Any]) -> str:
    """The config's text."""
    return what.render_config(values["settings"], values["execution"])
