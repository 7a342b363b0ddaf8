"""`lethe compile SPEC`: write generated/STUDY/."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from compiler.verbs import GENERATED
from compiler.verbs.say import warn

ABOUT = "write generated/STUDY/ from a spec"
MOST_NAMES = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe compile` can be told."""
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the study, for example specs/phase1.yaml")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--overwrite", action="store_true", help="discard edits made by hand in the generated folder")


def run(options: argparse.Namespace) -> int:
    """Write all files of the study, or none. Raises SpecError and TreeError."""
    from compiler.output.emit import dispatcher
    from compiler.output.write import write_file, write_tree
    from compiler.pipeline import compile_study

    compiled = compile_study(options.spec)
    plan, folder = compiled.plan, GENERATED / compiled.plan.study
    if not options.overwrite:
        _refuse_edited(folder)
    changed = write_tree(folder, compiled.files)
    changed = write_file(GENERATED / "submit_all.sh", dispatcher()) or changed
    facts = {"study": plan.study, "folder": str(folder), "jobs": len(plan.jobs), "cells": len(plan.cells), "changed": changed}
    if options.json:
        print(json.dumps({**facts, "warnings": list(plan.warnings)}, indent=1))
        return 0
    warn(plan.warnings)
    done = "written" if changed else "unchanged"
    print(f"{folder}: {len(plan.cells)} cells, {len(plan.jobs)} jobs, {len(compiled.files)} files, {done}.")
    print(f"Read {folder / 'PLAN.md'}, then: bash {GENERATED / 'submit_all.sh'} {plan.study}")
    return 0


def _refuse_edited(folder: Path) -> None:
    from compiler.diagnostics import TreeError
    from compiler.output.write import edited_by_hand

    edited = edited_by_hand(folder)
    if edited:
        shown = "".join(f"\n  {folder / name}" for name in edited[:MOST_NAMES])
        more = f"\n  and {len(edited) - MOST_NAMES} more" if len(edited) > MOST_NAMES else ""
        raise TreeError(
            f"these files are not as they were compiled:{shown}{more}\n"
            "Put what you changed into the spec, or discard it with: lethe compile --overwrite"
        )
