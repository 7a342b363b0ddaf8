"""The command `lethe`. Heavy imports wait until a verb needs them, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

GENERATED = Path("generated")

OK, USER_ERROR, CHANGES, INCOMPLETE, BUG = 0, 1, 2, 3, 70

HELP = """\
Lethe compiles a study of language-model forgetting and unlearning, one YAML, into everything that runs it.

A day with it:
  lethe validate specs/phase1.yaml     check the spec; write nothing
  lethe diff     specs/phase1.yaml     what would change in generated/, and which results that invalidates
  lethe compile  specs/phase1.yaml     write generated/phase1/ (also: compile specs/phase1.yaml)
  bash generated/submit_all.sh phase1  submit the whole study; safe to run again at any time
  lethe status   specs/phase1.yaml     what is done, running, failed
  lethe report   specs/phase1.yaml     the table, with what is still missing
"""

EXIT_CODES = """\
exit codes: 0 ok · 1 something to mend, see the message · 2 changes present (diff --exit-code) · 3 incomplete · 70 a bug of ours
Data goes to standard output, messages to standard error. --json gives the same to scripts. NO_COLOR is respected.
"""


class _Parser(argparse.ArgumentParser):
    """argparse, with a user's mistake ending in 1 like every other."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USER_ERROR, f"{self.prog}: error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `lethe`. Returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that cannot show a character gets its code
        sys.stdout.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("lethe: interrupted; generated/ is as it was", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:  # the one place that may: everything a user can mend is a LetheError
        return _failed(error, getattr(options, "json", False))


def compile_main() -> int:
    """Run `compile`, which is `lethe compile`."""
    return main(["compile", *sys.argv[1:]])


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="lethe", description=HELP, epilog=EXIT_CODES, formatter_class=raw)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    both = (("validate", _validate, "check a spec and say what is wrong; write nothing"),
            ("compile", _compile, "write generated/STUDY/ from a spec"),
            ("diff", _diff, "show what compiling would change"),
            ("status", _status, "what is done, running, failed"),
            ("report", _report, "the study's table, and what is missing"))  # fmt: skip
    for name, run, about in both:
        verb = verbs.add_parser(name, help=about, description=about, epilog=EXIT_CODES, formatter_class=raw)
        verb.add_argument("spec", type=Path, help="the study, for example specs/phase1.yaml")
        verb.add_argument("--json", action="store_true", help="one JSON document on standard output")
        verb.set_defaults(run=run)
        if name == "compile":
            verb.add_argument("--overwrite", action="store_true", help="discard edits made by hand in the generated folder")
        if name == "diff":
            verb.add_argument("--exit-code", action="store_true", help="exit 2 when there are changes")
        if name in ("status", "report"):
            verb.add_argument("--store", type=Path, metavar="DIR", help="default: $LETHE_STORE, else the cluster's")
    return parser


def _validate(options: argparse.Namespace) -> int:
    from compiler.pipeline import compile_study

    plan = compile_study(options.spec).plan
    facts = {"study": plan.study, "cells": len(plan.cells), "jobs": len(plan.jobs), "warnings": list(plan.warnings)}
    if options.json:
        print(json.dumps(facts, indent=1))
    else:
        _warn(plan.warnings)
        print(f"{options.spec}: fine. {len(plan.cells)} cells, {len(plan.jobs)} jobs on cluster {plan.cluster}.")
    return OK


def _compile(options: argparse.Namespace) -> int:
    from compiler.emit import dispatcher
    from compiler.pipeline import compile_study
    from compiler.write import write_file, write_tree

    compiled = compile_study(options.spec)
    plan, folder = compiled.plan, GENERATED / compiled.plan.study
    if not options.overwrite:
        _refuse_edited(folder)
    changed = write_tree(folder, compiled.files)
    changed = write_file(GENERATED / "submit_all.sh", dispatcher()) or changed
    facts = {"study": plan.study, "folder": str(folder), "jobs": len(plan.jobs), "cells": len(plan.cells), "changed": changed}
    if options.json:
        print(json.dumps({**facts, "warnings": list(plan.warnings)}, indent=1))
        return OK
    _warn(plan.warnings)
    done = "written" if changed else "unchanged"
    print(f"{folder}: {len(plan.cells)} cells, {len(plan.jobs)} jobs, {len(compiled.files)} files, {done}.")
    print(f"Read {folder / 'PLAN.md'}, then: bash {GENERATED / 'submit_all.sh'} {plan.study}")
    return OK


def _diff(options: argparse.Namespace) -> int:
    from compiler.diff import compare, render
    from compiler.pipeline import compile_study
    from compiler.plan import read_plan
    from compiler.write import differing

    compiled = compile_study(options.spec)
    new, folder = compiled.plan, GENERATED / compiled.plan.study
    path = folder / "plan.json"
    found = compare(read_plan(path) if path.exists() else None, new, differing(folder, compiled.files))
    print(json.dumps(found.as_json(), indent=1) if options.json else render(found, new.study))
    return CHANGES if options.exit_code and not found.empty else OK


def _status(options: argparse.Namespace) -> int:
    return _runtime("status", options)


def _report(options: argparse.Namespace) -> int:
    return _runtime("table", options)


def _runtime(verb: str, options: argparse.Namespace) -> int:
    """Hand a verb to the runtime, in a process of its own: the two share files only."""
    from compiler.diagnostics import TreeError
    from compiler.study import read_study

    study, _ = read_study(options.spec)
    plan = GENERATED / study.study / "plan.json"
    if not plan.is_file():
        raise TreeError(f"{options.spec} is not compiled yet: there is no {plan}. First: lethe compile {options.spec}")
    command = [sys.executable, "-m", "runtime", verb, str(plan.absolute())]
    command += ["--store", str(options.store.absolute())] if options.store else []
    command += ["--json"] if options.json else []
    root = Path(__file__).parent.parent
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "LETHE_ROOT": str(Path.cwd())}
    sys.stdout.flush()
    os.execve(command[0], command, environment)


def _refuse_edited(folder: Path) -> None:
    from compiler.diagnostics import TreeError
    from compiler.write import edited_by_hand

    edited = edited_by_hand(folder)
    if edited:
        shown = "".join(f"\n  {folder / name}" for name in edited[:10])
        more = f"\n  and {len(edited) - 10} more" if len(edited) > 10 else ""
        raise TreeError(
            f"these files are not as they were compiled:{shown}{more}\n"
            "Put what you changed into the spec, or discard it with: lethe compile --overwrite"
        )


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _failed(error: Exception, as_json: bool) -> int:
    """Say what went wrong: one message for what the user can mend, a traceback for a bug of ours."""
    from compiler.diagnostics import LetheError, SpecError

    if not isinstance(error, LetheError):
        traceback.print_exception(error)
        print("lethe: this is a bug of ours; the traceback above belongs in a report of it", file=sys.stderr)
        return BUG
    if as_json:
        found = [d.as_json() for d in error.diagnostics] if isinstance(error, SpecError) else [{"message": str(error)}]
        print(json.dumps({"errors": found}, indent=1))
    else:
        print(error, file=sys.stderr)
    return USER_ERROR


if __name__ == "__main__":
    sys.exit(main())
