"""`lethe compile SPEC`: write generated/STUDY/."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.verbs import GENERATED
from compiler.verbs.say import warn

if TYPE_CHECKING:
    from compiler.diagnostics import TreeError
    from compiler.pipeline import Compiled
    from compiler.plan.plan import Job
    from compiler.plan.sharing import Overlap
    from compiler.remembered import Remembered

ABOUT = "write generated/STUDY/ from a spec"
MOST_NAMES = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe compile` can be told."""
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the study, for example specs/phase1.yaml")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--locked", action="store_true", help="refuse where the lock lacks something or does not hold any more")
    parser.add_argument("--overwrite", action="store_true", help="discard edits made by hand in the generated folder")


def run(options: argparse.Namespace) -> int:
    """Write all files of the study, or none, unless they are known to be there. Raises SpecError and TreeError."""
    from compiler.remembered import inputs, recall

    found = inputs(options.spec)
    known, changed = None if options.locked else recall(GENERATED, found), False
    jobs = None
    if known is None:
        known, jobs, changed = _compile(options, found)
    folder, shared = GENERATED / str(known.plan["study"]), _shared(str(known.plan["study"]), jobs)
    facts = {"study": folder.name, "folder": str(folder), "jobs": known.jobs, "cells": known.cells, "changed": changed}
    if options.json:
        common = [overlap.as_json() for overlap in shared]
        print(json.dumps({**facts, "shared_with": common, "warnings": known.plan["warnings"]}, indent=1))
        return 0
    warn(known.plan["warnings"])
    done = "written" if changed else "unchanged"
    if known.plan["gate"]:
        print(f"{GENERATED / known.plan['gate']}: its canary; nothing of {folder.name} starts before that has succeeded.")
    print(f"{folder}: {known.cells} cells, {known.jobs} jobs, {known.files} files, {done}.")
    for overlap in shared:
        print(_told(overlap))
    print(f"Read {folder / 'PLAN.md'}, then: bash {GENERATED / 'submit_all.sh'} {folder.name}")
    return 0


def _compile(options: argparse.Namespace, found: tuple[str, str] | None) -> tuple[Remembered, Sequence[Job], bool]:
    """Compile and write, and remember that, if meanwhile nothing of what is `found` changed. Returns whether files did, too."""
    from compiler.lock.locking import hold
    from compiler.pipeline import compile_study
    from compiler.remembered import inputs, remember, remembered

    compiled = compile_study(options.spec)
    if options.locked:
        hold(compiled.plan, compiled.cluster, compiled.locked, options.spec)
    changed = write(compiled, overwrite=options.overwrite)
    if compiled.plan.gate:
        from compiler.canary.compiling import compile_canary

        changed = write(compile_canary(options.spec)[1], overwrite=options.overwrite) or changed
    folder = GENERATED / compiled.plan.study
    known = remembered(folder, compiled, found[1] if found else "")
    if found and inputs(options.spec) == found and not compiled.plan.gate:  # of two folders, that of the canary is not known
        remember(folder, known)
    return known, compiled.plan.jobs, changed


def _shared(study: str, jobs: Sequence[Job] | None) -> list[Overlap]:
    """What a study that is compiled has in common with others; its jobs are read where they are not known."""
    from compiler.plan.plan import read_plan
    from compiler.plan.sharing import overlaps

    if jobs is None and len(list(GENERATED.glob("*/submit_all.sh"))) > 1:
        jobs = read_plan(GENERATED / study / "plan.json").jobs
    return overlaps(study, jobs or (), GENERATED)


def write(compiled: Compiled, *, overwrite: bool) -> bool:
    """Put a compiled study into its generated folder, with the one script that submits any study. Returns whether anything
    changed. Raises TreeError, also for files that were edited by hand, unless these may be overwritten."""
    from compiler.output.emit import dispatcher
    from compiler.output.sums import edited_by_hand
    from compiler.output.write import write_file, write_tree

    folder = GENERATED / compiled.plan.study
    edited = edited_by_hand(folder)
    if edited and not overwrite:
        raise _edited(folder, edited)
    changed = write_tree(folder, compiled.files, edited)
    return write_file(GENERATED / "submit_all.sh", dispatcher()) or changed


def _told(overlap: Overlap) -> str:
    """One line on what another compiled study has in common with this one."""
    hours = f", {overlap.gpu_hours:,.1f} GPU-hours at most" if overlap.gpu_hours else ""
    names = ""
    if overlap.renamed:
        here, there = overlap.renamed[0]
        names = f" ({len(overlap.renamed)} of other names: {here} is {there} there)"
    jobs = len(overlap.same) + len(overlap.renamed)
    return f"Shared with study {overlap.study}: {jobs} jobs{names}{hours}; in one store, who is first makes them."


def _edited(folder: Path, edited: Sequence[str]) -> TreeError:
    """What to say of files that were edited by hand."""
    from compiler.diagnostics import TreeError

    shown = "".join(f"\n  {folder / name}" for name in edited[:MOST_NAMES])
    more = f"\n  and {len(edited) - MOST_NAMES} more" if len(edited) > MOST_NAMES else ""
    return TreeError(
        f"these files are not as they were compiled:{shown}{more}\n"
        "Put what you changed into the spec, or discard it with: lethe compile --overwrite"
    )
