"""The mistakes of mutations.yaml, each made in a small study for Lethe and in the generated config for the package."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from compiler.cli import main
from compiler.configs import parse_config
from compiler.language.definitions import Domain
from compiler.pipeline import compile_study
from tests.backends import catalog

REPOSITORY = Path(__file__).parents[2]
FILE = Path(__file__).with_name("mutations.yaml")
BASE = """\
study: mutated
about: One mistake
cluster: mila
catalog: {catalogs}
axes: {{method: [{method}], domain: [math], start: [base], scale: [1.7b]}}
evaluate: {{suites: [{suite}]}}
define: {define}
"""


@dataclass(frozen=True)
class Mutation:
    """One mistake: in a study (`settings`, `execution`, `cluster`), and as the package is told of it."""

    part: str
    wrong: str
    settings: Mapping[str, Any]
    execution: Mapping[str, Any]
    cluster: Mapping[str, Any]
    package: Mapping[str, Any] | None

    @property
    def id(self) -> str:
        return f"{self.part}: {self.wrong}"


@cache
def read() -> Mapping[str, Any]:
    """mutations.yaml."""
    found: Mapping[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def mutations(part: str | None = None) -> list[Mutation]:
    """The rows, of one part or of all."""
    nothing: dict[str, Any] = {"settings": {}, "execution": {}, "cluster": {}}
    return [
        Mutation(part=name, **{**nothing, **row})
        for name, about in read().items()
        if part in (None, name)
        for row in about["rows"]
    ]


def study(part: str, mutation: Mutation | None = None) -> str:
    """The text of the study that goes through a part, with a mistake or without."""
    about = read()[part]["study"]
    define: dict[str, Any] = {}
    if mutation:
        change = {group: dict(getattr(mutation, group)) for group in ("settings", "execution") if getattr(mutation, group)}
        define = _defined(about, change)
        if mutation.cluster:
            define["clusters"] = {"mila": {"extends": "mila", **mutation.cluster}}
    catalogs = [str(REPOSITORY / "specs" / name) for name in ("catalog", about.get("catalog")) if name]
    values = {"catalogs": catalogs, "method": about["method"], "suite": about.get("suite", "forgetting"), "define": define}
    return BASE.format(**{name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()})


def _defined(about: Mapping[str, str], change: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The catalog's definition that a part's settings stand in, changed; what the domain says of them is changed there."""
    if "suite" in about:
        return {"suites": {about["suite"]: {"extends": about["suite"], **change}}}
    name = about.get("algorithm") or about["dataset"]
    of_domain = catalog.catalog().get(Domain, "math", catalog.HERE)
    said = (of_domain.algorithms if "algorithm" in about else of_domain.datasets)[name]
    settings = change.get("settings", {})
    there = {key: settings.pop(key) for key in [*settings] if key in said}
    section = "algorithms" if "algorithm" in about else "datasets"
    own = change if section == "algorithms" else {"traces": change}
    define: dict[str, Any] = {section: {name: {"extends": name, **own}}}
    if there:
        define["domains"] = {"math": {"extends": "math", section: {name: there}}}
    return define


def said_by_lethe(mutation: Mutation, folder: Path) -> str | None:
    """The first error of `lethe compile`, without its place; None when it compiles."""
    (folder / "specs").mkdir(exist_ok=True)
    (folder / "specs" / "mutated.yaml").write_text(study(mutation.part, mutation), encoding="utf-8")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["compile", "specs/mutated.yaml"])
    assert code in (0, 1), err.getvalue()
    errors = [line.split(": error: ", 1)[1] for line in err.getvalue().splitlines() if ": error: " in line]
    return errors[0] if code else None


def config(part: str, folder: Path) -> Any:
    """The config that the study without a mistake generates for a part."""
    spec = folder / "right.yaml"
    spec.write_text(study(part), encoding="utf-8")
    compiled = compile_study(spec)
    backend, _, what = part.partition("/")
    job = next(job for job in compiled.plan.jobs if (job.backend, job.what) == (backend, what))
    return parse_config(compiled.files[f"configs/{job.id}.yaml"])
