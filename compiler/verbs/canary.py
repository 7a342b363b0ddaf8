"""`lethe canary SPEC`: compile the few cells that show whether a study will run, with two steps each."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.verbs import GENERATED
from compiler.verbs.say import warn

if TYPE_CHECKING:
    from compiler.canary.compiling import Canary

ABOUT = "compile a few cells with two steps each, to run before the whole study"

HOW = """\
for instance:
  lethe canary specs/phase1.yaml             writes generated/phase1-canary/, a study of its own with the same scripts
  bash generated/submit_all.sh phase1-canary runs it: minutes where the study takes days
  lethe canary specs/phase1.yaml --cells     only says which cells, and what each is there for

Its cells go through every value of every axis, every suite, every kind of job of every backend, and every line of a template
that the study's scripts and configs are made from. Trainings take 2 steps, sampling 4 batches of questions, tasks 8. What the
study prepares (rows, models) is the same, and so is made once for both. Its scores mean nothing.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe canary` can be told."""
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the study, for example specs/phase1.yaml")
    parser.add_argument("--cells", action="store_true", help="print the chosen cells and what each covers; write nothing")
    parser.add_argument("--overwrite", action="store_true", help="discard edits made by hand in the generated folder")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.epilog = f"{HOW}\n{parser.epilog or ''}"


def run(options: argparse.Namespace) -> int:
    """Write the canary's files, or only say which cells it has. Raises SpecError and TreeError."""
    from compiler.canary.compiling import choose, compile_canary
    from compiler.pipeline import compile_study
    from compiler.verbs.compile import write

    if options.cells:
        canary = choose(compile_study(options.spec))
        print(json.dumps(_as_json(canary), indent=1) if options.json else "\n".join(_told(canary)))
        return 0
    canary, compiled = compile_canary(options.spec)
    plan, changed = compiled.plan, write(compiled, overwrite=options.overwrite)
    folder = GENERATED / plan.study
    if options.json:
        facts = {"study": plan.study, "folder": str(folder), "jobs": len(plan.jobs), "changed": changed}
        print(json.dumps({**_as_json(canary), **facts, "warnings": list(plan.warnings)}, indent=1))
        return 0
    warn(plan.warnings)
    done = "written" if changed else "unchanged"
    print(f"{folder}: {len(plan.cells)} of {canary.cells} cells, {len(plan.jobs)} jobs, {done}.")
    print(f"Run it first: bash {GENERATED / 'submit_all.sh'} {plan.study}")
    return 0


def _as_json(canary: Canary) -> dict[str, Any]:
    cells = [
        {"cell": cell, "covers": _listed(marks), "only": _listed(canary.alone[cell])} for cell, marks in canary.chosen.items()
    ]
    return {"of": canary.study, "of_cells": canary.cells, "cells": cells}


def _listed(marks: frozenset[tuple[str, str]]) -> dict[str, list[str]]:
    """Marks by sort."""
    found: dict[str, list[str]] = {}
    for sort, which in sorted(marks):
        found.setdefault(sort, []).append(which)
    return found


def _told(canary: Canary) -> list[str]:
    """Every chosen cell with what only it covers; of lines of templates how many."""
    lines = [f"{len(canary.chosen)} of {canary.cells} cells of {canary.study} go through all that it goes through:"]
    for cell in canary.chosen:
        lines.append(f"  {cell}")
        for sort, which in _listed(canary.alone[cell]).items():
            shown = f"{len(which)} lines of templates" if sort == "line" else ", ".join(which)
            lines.append(f"    only here: {'' if sort == 'line' else sort + ' '}{shown}")
    return lines
