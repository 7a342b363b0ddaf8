"""`lethe select SPEC`: choose the cells that a study takes from another one's results, into a file to be committed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.verbs import GENERATED

if TYPE_CHECKING:
    from compiler.cells.origin import Asked, Choice
    from compiler.language.source import Tree
    from compiler.language.study import Origin
    from compiler.plan.plan import Job

ABOUT = "choose the cells that a study takes from another one's results"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe select` can be told."""
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the study with `from`, for example specs/phase3.yaml")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--store", type=Path, metavar="DIR", help="where the other study's report lies; default: $LETHE_STORE, "
                        "else its cluster's")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Write SPEC's selection file, whole or not at all. Raises SpecError for wrong words, TreeError without a report."""
    from compiler.cells.origin import asked, selection_file, written
    from compiler.diagnostics import spec_error
    from compiler.language.study import read_study
    from compiler.output.write import write_file

    spec: Path = options.spec
    study, tree = read_study(spec)
    if study.origin is None:
        raise spec_error(tree.at(()), "this study takes no cells from another one", "give it `from: {study, select, axes}`")
    wanted = asked(study, study.origin, tree)
    origin_spec = spec.parent / study.origin.study
    if not origin_spec.is_file():
        raise spec_error(tree.at(("from", "study")), f"there is no {origin_spec}", "name a spec, seen from this one")
    other, _ = read_study(origin_spec)
    report = finished_report(origin_spec, other.study, options.store)
    choices = _choose(report, wanted, study.origin, tree)
    path = selection_file(spec)
    changed = write_file(path, written(spec, other.study, report["fingerprint"], study.origin, choices))
    _say(options, path, other.study, study.origin, choices, changed)
    return 0


def finished_report(spec: Path, name: str, store: Path | None) -> Mapping[str, Any]:
    """The report of a compiled study as JSON. Raises TreeError when it is not there, or not of this plan, or not whole."""
    from compiler.diagnostics import TreeError
    from compiler.plan.plan import read_plan
    from compiler.verbs.store import store_of

    path = GENERATED / name / "plan.json"
    if not path.is_file():
        raise TreeError(f"{spec} is not compiled yet: there is no {path}. First: lethe compile {spec}")
    plan = read_plan(path)
    job = next((job for job in plan.jobs if job.kind == "report"), None)
    if job is None:
        raise TreeError(f"{path} has no report. Compile the study again: lethe compile {spec}")
    folder = store_of(plan, store) / job.path
    _check_done(folder, job, spec)
    report = _read_json(folder / "report.json")
    if report.get("fingerprint") != job.fingerprint or not report.get("complete"):
        raise TreeError(f"{folder} holds no complete report of this plan. Make it again: lethe report {spec}")
    return report


def _check_done(folder: Path, job: Job, spec: Path) -> None:
    from compiler.diagnostics import TreeError
    from compiler.plan.results import made_as

    made = made_as(folder)
    if made is None:
        others = sorted(folder.parent.glob(f"{job.name}-*/DONE.json"))
        if others:
            raise TreeError(
                f"{spec} was compiled differently when it ran: the store has {others[0].parent.name}, this plan makes "
                f"{folder.name}. Run what changed (lethe status {spec}), or compile it as it was."
            )
        raise TreeError(f"{spec} has no finished report: there is no {folder}/DONE.json. What is missing: lethe report {spec}")
    if made != job.fingerprint:
        raise TreeError(f"{folder} was made as {made[:12]}, this plan's is {job.fingerprint[:12]}: {spec} was compiled "
                        f"differently then. Run it again.")  # fmt: skip


def _read_json(path: Path) -> Mapping[str, Any]:
    from compiler.diagnostics import TreeError

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TreeError(f"cannot read {path}: {error}.") from error
    if not isinstance(found, dict):
        raise TreeError(f"cannot read {path}: it is no JSON object.")
    return found


def _choose(report: Mapping[str, Any], wanted: Asked, origin: Origin, tree: Tree) -> Sequence[Choice]:
    """The chosen cells. Raises SpecError for axes and metrics that the report has not, and when it has too few cells."""
    from compiler.diagnostics import Diagnostic, Hint, SpecError, nearest, spec_error
    from compiler.select import ranking

    at, axes = tree.at(("from", "select")), list(ranking.cells(report)[0]["axes"])
    whose = f"the report of {report['study']}"
    wrong = [
        Diagnostic(tree.at(("from", "axes", number)), f"{whose} has no axis '{axis}'", nearest(axis, axes))
        for number, axis in enumerate(origin.axes)
        if axis not in axes
    ]
    if wanted.per and wanted.per not in axes:
        wrong.append(Diagnostic(at, f"{whose} has no axis '{wanted.per}'", nearest(wanted.per, axes)))
    known = ranking.metrics(report)
    if wanted.metric not in known:
        near = nearest(wanted.metric, known)
        told = f"{near} There are: {', '.join(known)}" if near.suggestion else f"valid here: {', '.join(known)}"
        wrong.append(Diagnostic(at, f"{whose} has no metric '{wanted.metric}'", Hint(told, near.suggestion)))
    if wrong:
        raise SpecError(wrong)
    found = ranking.candidates(report, wanted.metric)
    short = ranking.short_of(found, wanted, origin.axes)
    if short:
        message = f"'{origin.select}' asks for {wanted.count}; {whose} has only {short} that differ in {', '.join(origin.axes)}"
        raise spec_error(at, message, "ask for fewer")
    return ranking.best(found, wanted, origin.axes)


def _say(options: argparse.Namespace, path: Path, study: str, origin: Origin, choices: Sequence[Choice], changed: bool) -> None:
    if options.json:
        cells = [{**choice.axes, "value": round(choice.value, 2)} for choice in choices]
        facts = {"file": str(path), "study": study, "select": origin.select, "cells": cells, "changed": changed}
        print(json.dumps(facts, indent=1))
        return
    for rank, choice in enumerate(choices, 1):
        print(f"{rank:3}  {' '.join(choice.axes.values()):40}  {choice.value:8.2f}")
    done = "written" if changed else "unchanged"
    print(f"{path}: {len(choices)} cells of {study}, {origin.select}, {done}. Commit it, then: lethe compile {options.spec}")
