"""`lethe diff SPEC`: what compiling would change."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from compiler.verbs import CHANGES, GENERATED

ABOUT = "show what compiling would change"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe diff` can be told."""
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the study, for example specs/phase1.yaml")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--exit-code", action="store_true", help="exit 2 when there are changes")


def run(options: argparse.Namespace) -> int:
    """Compare what the spec compiles to with what is generated. Raises SpecError and TreeError."""
    from compiler.output.write import differing
    from compiler.pipeline import compile_study
    from compiler.plan.diff import compare, render
    from compiler.plan.plan import read_plan

    compiled = compile_study(options.spec)
    new, folder = compiled.plan, GENERATED / compiled.plan.study
    path = folder / "plan.json"
    found = compare(read_plan(path) if path.exists() else None, new, differing(folder, compiled.files))
    print(json.dumps(found.as_json(), indent=1) if options.json else render(found, new.study))
    return CHANGES if options.exit_code and not found.empty else 0
