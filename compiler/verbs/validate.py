"""`lethe validate SPEC`: check a spec and say what is wrong with it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from compiler.verbs.say import warn

ABOUT = "check a spec and say what is wrong; write nothing"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe validate` can be told."""
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the study, for example specs/phase1.yaml")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, also of what is wrong")


def run(options: argparse.Namespace) -> int:
    """Compile in memory only. Raises SpecError."""
    from compiler.pipeline import compile_study

    plan = compile_study(options.spec).plan
    facts = {"study": plan.study, "cells": len(plan.cells), "jobs": len(plan.jobs), "warnings": list(plan.warnings)}
    if options.json:
        print(json.dumps(facts, indent=1))
    else:
        warn(plan.warnings)
        print(f"{options.spec}: fine. {len(plan.cells)} cells, {len(plan.jobs)} jobs on cluster {plan.cluster}.")
    return 0
