"""`lethe diff`: what compiling would change, or how two plans differ, and what that costs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.verbs import CHANGES, GENERATED

if TYPE_CHECKING:
    from compiler.diff.compare import Diff
    from compiler.diff.items import View
    from compiler.diff.told import Length
    from compiler.plan.plan import Plan

ABOUT = "show what compiling would change, or how two plans differ"

SAME = "{}: no changes; what is generated is what the spec compiles to."

COMPARING = """\
comparing:
  lethe diff specs/phase1.yaml                           what compiling would change in generated/phase1/
  lethe diff specs/phase1.yaml --submitted               what is running or done, beside what the spec says now
  lethe diff specs/phase1.yaml specs/phase2.yaml         two studies
  lethe diff HEAD~1:specs/phase1.yaml specs/phase1.yaml  a spec as git has it, compiled with today's compiler
  lethe diff main:generated/phase1 generated/phase1      two compiled plans

A side is a spec, a plan.json or its folder, or one of these as git has it: REVISION:FILE, with the file seen from here.

signs:
  +    a job is new           -/+  its result is no longer the plan's: its settings, code or inputs are others
  -    a job is gone          ~    the same result: run in another way, renamed, or cosmetic
  =    stale: the job is the same, but something that it is made from is made again

GPU-h are of the jobs that have to run: expected as far as their hours are known, worst case at their time limits.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe diff` can be told."""
    parser.add_argument("spec", metavar="SPEC", help="the study; beside OTHER, the side to compare from")
    parser.add_argument("other", nargs="?", metavar="OTHER", help="the side to compare to; see below")
    parser.add_argument(
        "--submitted", action="store_true", help="compare with what the ledger and the store say is running or done"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--summary", action="store_true", help="a few lines")
    length.add_argument("--full", action="store_true", help="every job with its reason; default: at most 60 lines")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON document on standard output, with every job")
    form.add_argument("--markdown", action="store_true", help="for a pull request")
    parser.add_argument("--exit-code", action="store_true", help="exit 2 when there are changes")
    parser.add_argument(
        "--store", type=Path, metavar="DIR", help="where finished results are; default: $LETHE_STORE, else the cluster's"
    )
    parser.epilog = f"{COMPARING}\n{parser.epilog or ''}"


def run(options: argparse.Namespace) -> int:
    """Compare. Raises SpecError and TreeError."""
    from compiler.diagnostics import TreeError
    from compiler.diff.markdown import markdown
    from compiler.diff.text import render
    from compiler.verbs.sides import is_no_spec

    if options.other and options.submitted:
        raise TreeError("--submitted compares one spec with what was submitted of it. Leave out the second.")
    if not options.other and is_no_spec(options.spec):
        raise TreeError(
            f"{options.spec} is no spec, to be compared with what is generated of it. Name what to compare it with."
        )
    view = _two(options) if options.other else _submitted(options) if options.submitted else _generated(options)
    length: Length = "full" if options.full else "summary" if options.summary else "default"
    if options.json:
        print(json.dumps(_json(view), indent=1))
    else:
        print(markdown(view, length) if options.markdown else render(view, length))
    return CHANGES if options.exit_code and not view.diff.empty else 0


def _generated(options: argparse.Namespace) -> View:
    """What the spec compiles to, beside what is generated."""
    from compiler.diff.compare import Diff, compare
    from compiler.output.sums import edited_by_hand
    from compiler.plan.plan import Plan
    from compiler.remembered import inputs, recall

    known = recall(GENERATED, inputs(Path(options.spec)))
    if known:
        same = Plan(**known.plan)
        return _view(options, same.study, SAME.format(same.study), Diff(), same, same)

    from compiler.output.write import differing
    from compiler.pipeline import compile_study

    compiled = compile_study(Path(options.spec))
    new, folder = compiled.plan, GENERATED / compiled.plan.study
    old, edited = _read(folder), edited_by_hand(folder)
    found = compare(old, new, differing(folder, compiled.files, edited), edited if old else ())
    title = new.study if old else f"{new.study}, which is not compiled yet"
    return _view(options, title, SAME.format(new.study), found, old, new)


def _two(options: argparse.Namespace) -> View:
    """One side beside the other."""
    from compiler.diff.compare import compare
    from compiler.verbs.sides import read_side

    one, other = read_side(options.spec), read_side(options.other)
    found = compare(one.plan, other.plan)
    same = f"no changes; {one.name} and {other.name} are the same plan."
    notes = tuple(side.note for side in (one, other) if side.note)
    return _view(options, f"{one.name} -> {other.name}", same, found, one.plan, other.plan, notes)


def _submitted(options: argparse.Namespace) -> View:
    """What the spec compiles to, beside what was submitted of it."""
    from compiler.diff.compare import compare
    from compiler.pipeline import compile_study
    from compiler.verbs.store import store_of
    from compiler.verbs.submitted import submitted

    new = compile_study(Path(options.spec)).plan
    generated = _read(GENERATED / new.study)
    states, unknown = _states(options, new.study) if generated else ({}, ())
    was = submitted(new, generated, store_of(new, options.store), states)
    found = compare(was.plan, new)
    same = f"{new.study}: no changes; what was submitted is what the spec compiles to."
    notes = (*unknown, *_live(found, was.live))
    return _view(options, f"{new.study}, beside what was submitted", same, found, was.plan, new, notes)


def _states(options: argparse.Namespace, study: str) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """How the jobs of the generated plan are doing, or what to say of why that cannot be told."""
    from compiler.diagnostics import TreeError
    from compiler.verbs.runtime import results

    try:
        return results(GENERATED / study / "plan.json", options.store), ()
    except TreeError as error:
        return {}, (f"what is running now is not known: {error}",)


def _live(found: Diff, live: Set[str]) -> tuple[str, ...]:
    """What to say of jobs that are under way for a result that the plan no longer wants."""
    from compiler.diff.whose import are, names

    wasted = [name for name in (*found.removed, *sorted(found.invalid), *found.stale) if name in live]
    return (f"{are(len(wasted), 'job')} running or queued as before: {names(wasted)}",) if wasted else ()


def _read(folder: Path) -> Plan | None:
    from compiler.plan.plan import read_plan

    path = folder / "plan.json"
    return read_plan(path) if path.exists() else None


def _view(
    options: argparse.Namespace, title: str, same: str, found: Diff, old: Plan | None, new: Plan, notes: tuple[str, ...] = ()
) -> View:
    """The difference with its cost, as far as the store can be read here."""
    from compiler.diagnostics import TreeError
    from compiler.diff.items import View
    from compiler.diff.toll import asked_of_store, toll
    from compiler.verbs.store import finished, store_of

    try:
        done = finished(store_of(new, options.store), asked_of_store(found, old, new))
    except TreeError as error:
        done, notes = None, (*notes, *([f"finished results are not counted: {error}"] if found.touches_jobs else []))
    unseen = "not submitted yet" if options.submitted else "" if old else "nothing was compiled before"
    return View(title, same, found, toll(found, old, new, done), old, new, unseen, notes)


def _json(view: View) -> dict[str, object]:
    """All of it, for tools."""
    from dataclasses import asdict

    from compiler.diff.reasons import reasons

    jobs = [asdict(found) for found in reasons(view.diff, view.old, view.new, view.unseen)]
    return {"title": view.title, **view.diff.as_json(), "toll": asdict(view.toll), "jobs": jobs, "notes": list(view.notes)}
