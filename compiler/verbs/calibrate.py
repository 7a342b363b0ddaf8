"""`lethe calibrate SPEC`: the paces of trainings that are done, for the catalog."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from compiler.verbs import GENERATED, INCOMPLETE, OK, runtime

ABOUT = "measure the pace of the trainings that are done, for the catalog"

HOW = """\
The pace of an algorithm, in seconds a step, tells `lethe compile` how long a training takes: whether its time limit is enough,
and how many GPU-hours to expect. What is printed here goes under `define:` of a spec, or as `pace` to the algorithm in a
catalog. A pace is a training's wall time, with the loading of its model, by its steps. A training that was interrupted and went
on has the time of its last attempt only, and looks faster than it was; VeRL's have that of earlier ones, too, each up to the
checkpoint that was gone on from.

for instance:
  lethe calibrate specs/phase1.yaml            as YAML
  lethe calibrate specs/phase1.yaml --json     with the spread, and the trainings that say nothing
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe calibrate` can be told."""
    runtime.arguments(parser)
    parser.epilog = f"{HOW}\n{parser.epilog or ''}"


def run(options: argparse.Namespace) -> int:
    """Print the paces of the trainings of `options.spec` that are done; INCOMPLETE where none is. Raises LetheError."""
    from compiler.diagnostics import TreeError
    from compiler.fitness.paces import as_yaml, paces
    from compiler.language.study import read_study
    from compiler.plan.plan import read_plan
    from compiler.verbs.store import store_of

    study, _ = read_study(options.spec)
    path = GENERATED / study.study / "plan.json"
    if not path.is_file():
        raise TreeError(f"{options.spec} is not compiled yet: there is no {path}. First: lethe compile {options.spec}")
    plan = read_plan(path)
    store = store_of(plan, options.store)
    found = paces(plan, store)
    if options.json:
        print(json.dumps({"study": plan.study, "store": str(store), **asdict(found)}, indent=1))
    elif found.paces:
        print(as_yaml(found.paces))
    _say(options.spec, found.pending, len(found.untimed))
    return OK if found.paces else INCOMPLETE


def _say(spec: Path, pending: int, untimed: int) -> None:
    """What the numbers leave out, for people."""
    if pending:
        print(f"{pending} of {spec}'s trainings are not done, and say nothing", file=sys.stderr)
    if untimed:
        print(f"{untimed} of {spec}'s trainings are done, but were not timed", file=sys.stderr)
