"""Asking the runtime: always in a process of its own, since the two share files only."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from compiler.diagnostics import TreeError
from compiler.verbs import GENERATED

ROOT = Path(__file__).parents[2]


def arguments(parser: argparse.ArgumentParser) -> None:
    """What every question about a compiled study can be told."""
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the study, for example specs/phase1.yaml")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--store", type=Path, metavar="DIR", help="default: $LETHE_STORE, else the cluster's")


def command(verb: str, plan: Path, store: Path | None, as_json: bool) -> list[str]:
    """The words that ask the runtime about a compiled study."""
    words = [sys.executable, "-m", "runtime", verb, str(plan.absolute())]
    words += ["--store", str(store.absolute())] if store else []
    return [*words, "--json"] if as_json else words


def environment() -> dict[str, str]:
    """The variables with which Python finds the runtime and the runtime finds this folder."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "LETHE_ROOT": str(Path.cwd())}


def results(plan: Path, store: Path | None) -> Mapping[str, str]:
    """How each job of a generated plan is doing, by id. Raises TreeError when that cannot be told, as Slurm does not answer."""
    asked = command("status", plan, store, as_json=True)
    found = subprocess.run(asked, env=environment(), capture_output=True, text=True, check=False)
    try:
        document = json.loads(found.stdout)
        states = {job["job"]: job["state"] for job in document["jobs"]}
    except ValueError as error:
        raise TreeError(found.stderr.strip() or f"the status of {plan} could not be had") from error
    if document["notes"]:
        raise TreeError(document["notes"][0])
    return states


def compiled_plan(spec: Path, *, canary: bool = False) -> Path:
    """The plan that a spec's study, or its canary, was compiled to. Raises TreeError when it is not compiled."""
    from compiler.language.study import read_study

    study, _ = read_study(spec)
    plan = GENERATED / (study.its_canary if canary else study.study) / "plan.json"
    if not plan.is_file():
        first = f"lethe {'canary' if canary else 'compile'} {spec}"
        raise TreeError(f"{spec} is not compiled yet: there is no {plan}. First: {first}")
    return plan


def become(verb: str, options: argparse.Namespace, more: Sequence[str] = ()) -> NoReturn:
    """Hand a verb about a compiled study to the runtime, with `more` words. Raises TreeError when it is not compiled."""
    plan = compiled_plan(options.spec, canary=getattr(options, "canary", False))
    words = [*command(verb, plan, options.store, options.json), *more]
    sys.stdout.flush()
    os.execve(words[0], words, environment())
