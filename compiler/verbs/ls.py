"""`lethe ls SPEC [SELECT ...]`: the jobs, or the cells, that a selection means."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.verbs import GENERATED

if TYPE_CHECKING:
    from compiler.plan.plan import Job, Plan, PlannedCell
    from compiler.select.offer import Offer

ABOUT = "list the jobs or cells of a study that a selection means"

SELECTING = """\
selecting:
  method:on_rl,domain:math      both hold: a comma is and
  method:on_rl stage:eval       either holds: several words are or
  domain:math|qa  method:*_sft  one of these values; * and ? stand for any text
  AXIS:VALUE   jobs of the cells with this value on an axis of the study
  cell:ID      jobs of a cell; its ID alone does, too
  job:ID       a job; its ID alone does, too
  stage:KIND   jobs of a kind; its beginning is enough: stage:eval
  state:WORD   compared with what is generated: new, modified (its own settings), stale (what it is made from),
               execution (the same result, run in another way), unchanged, removed
  result:WORD  as `lethe status` has it: done, running, queued, held, waiting, truncated, failed, upstream, cancelled, unknown,
               stale, never
  +X  X+       and all that X is made from; and all that is made from X
  2+X  X+1     only so many steps of it

A job is of every cell that it trains or measures. Rows, datasets, models from the hub, the scores of the starts and the report
are of no cell: `+method:on_rl` lists what on_rl's cells need of them, too. Quote words with |, * or ? for the shell.

for instance:
  lethe ls specs/phase1.yaml method:on_rl,stage:train       what on_rl trains
  lethe ls specs/phase1.yaml +gt_sft_math_base_4b           all that a cell takes
  lethe ls specs/phase1.yaml state:modified+                what an edit of the spec makes again
  lethe ls --cells specs/phase1.yaml result:failed+         the cells that failures hold up
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe ls` can be told."""
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the study, for example specs/phase1.yaml")
    parser.add_argument("select", nargs="*", metavar="SELECT", help="what to list, see below; default: every job")
    parser.add_argument("--cells", action="store_true", help="list the cells that have an evaluation among what is selected")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    parser.add_argument("--allow-empty", action="store_true", help="exit 0 also when nothing is selected")
    parser.add_argument(
        "--store", type=Path, metavar="DIR", help="where result:WORD looks; default: $LETHE_STORE, else the cluster's"
    )
    parser.epilog = f"{SELECTING}\n{parser.epilog or ''}"


def run(options: argparse.Namespace) -> int:
    """List what `options.select` means of `options.spec`. Raises LetheError, also when it means nothing."""
    from compiler.columns import aligned
    from compiler.select.grammar import SelectionError, asks_for, read_selector, select, selected_cells

    selector = read_selector(options.select)
    offered = _offered(options.spec, options.store, asks_for(selector, "result"))
    jobs = select(selector, offered)
    rows = [_cell(c) for c in selected_cells(jobs, offered.plan)] if options.cells else [_job(job, offered) for job in jobs]
    if not rows and not options.allow_empty:
        what = "no cell has an evaluation among" if options.cells else "no job is"
        words = " ".join(options.select)
        hint = "X+ adds all that is made from X" if options.cells and jobs else "--allow-empty makes that no mistake"
        raise SelectionError(f"{what} what '{words}' selects in {options.spec}\n  hint: {hint}")
    if options.json:
        print(json.dumps(rows, indent=1))
    elif rows:
        print("\n".join(aligned([[_text(value) for value in row.values()] for row in rows])))
    return 0


def _offered(spec: Path, store: Path | None, with_results: bool) -> Offer:
    """The study as it compiles now, beside what was generated of it."""
    from compiler.lower.workshop import MANIFEST
    from compiler.pipeline import compile_study
    from compiler.plan.plan import read_plan
    from compiler.select.offer import offer

    plan = compile_study(spec).plan
    path = GENERATED / plan.study / "plan.json"
    before = read_plan(path) if path.exists() else None
    kinds = json.loads(MANIFEST.read_text(encoding="utf-8"))["kinds"]
    return offer(plan, before, _results(plan, before, path, store) if with_results else {}, kinds)


def _results(plan: Plan, before: Plan | None, path: Path, store: Path | None) -> Mapping[str, str]:
    """How each job is doing. With another fingerprint than the generated one it was never submitted."""
    from compiler.verbs.runtime import results

    if before is None:
        return {job.id: "never" for job in plan.jobs}
    found, was = results(path, store), {job.id: job.fingerprint for job in before.jobs}
    now = {job.id: found[job.id] if was.get(job.id) == job.fingerprint else "never" for job in plan.jobs}
    return {**found, **now}


def _job(job: Job, offered: Offer) -> dict[str, Any]:
    shown = {"job": job.id, "kind": job.kind, "cells": list(offered.members.get(job.id, ())), "state": offered.states[job.id]}
    return {**shown, "result": offered.results[job.id]} if offered.results else shown


def _cell(cell: PlannedCell) -> dict[str, Any]:
    return {"cell": cell.id, **cell.axes}


def _text(value: Any) -> str:
    """One column of a line; of many cells their number."""
    if isinstance(value, list):
        return f"{len(value)} cells" if len(value) > 1 else "".join(value) or "-"
    return str(value)
