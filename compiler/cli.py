"""The command `lethe`. Heavy imports wait until a verb needs them, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from compiler.verbs import BUG, OK, USER_ERROR

VERBS = (
    "validate", "compile", "diff", "ls", "explain", "lock", "canary",
    "simulate", "select", "status", "triage", "retry", "cancel", "logs", "replay", "storage", "cluster",
    "report", "calibrate", "env", "schema",
)  # fmt: skip

HELP = """\
Lethe compiles a study of language-model forgetting and unlearning, one YAML, into everything that runs it.

A day with it:
  lethe validate specs/phase1.yaml     check the spec; write nothing
  lethe diff     specs/phase1.yaml     what would change in generated/, and which results that invalidates
  lethe compile  specs/phase1.yaml     write generated/phase1/ (also: compile specs/phase1.yaml)
  lethe simulate specs/phase1.yaml --random 0.05    what would hang if one job in twenty failed
  bash generated/submit_all.sh phase1  submit the whole study; safe to run again at any time
  lethe ls       specs/phase1.yaml method:on_rl,stage:train    which jobs these are
  lethe explain  specs/phase1.yaml on_rl_math_base_4b lr       where a value comes from
  lethe status   specs/phase1.yaml     what is done, running, failed
  lethe triage   specs/phase1.yaml     why things failed, and what helps
  lethe retry    specs/phase1.yaml     submit again what failed
  lethe report   specs/phase1.yaml     the table, with what is still missing
  lethe env check verl --cluster mila  whether what is installed is what is locked
"""

EXIT_CODES = """\
exit codes: 0 ok · 1 something to mend, see the message · 2 changes present (diff --exit-code) · 3 incomplete · 70 a bug of ours
Data goes to standard output, messages to standard error. --json gives the same to scripts. NO_COLOR is respected.
"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """argparse's own, with room for the longest verb, which it forgets to indent when it measures."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=110)
        self._action_max_length = len(max(VERBS, key=len)) + 4


class _Parser(argparse.ArgumentParser):
    """argparse, with a user's mistake ending in 1 like every other."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USER_ERROR, f"{self.prog}: error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `lethe`. Returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that cannot show a character gets its code
        sys.stdout.reconfigure(errors="backslashreplace")
    options = _parse(arguments)
    try:
        code = _run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("lethe: interrupted; generated/ is as it was", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:  # a full disk behind standard output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"lethe: cannot write what it has to say: {error.strerror}", file=sys.stderr)
        return USER_ERROR
    return code


def _run(options: argparse.Namespace) -> int:
    gc.disable()  # a run is short, and nearly all that it makes stays to its end: looking for what could go takes its time
    try:
        code: int = options.run(options)
    except Exception as error:  # the one place that may: everything a user can mend is a LetheError
        if isinstance(error, OSError) and error.filename is None:
            raise  # of standard output
        return _failed(error, getattr(options, "json", False))
    return code


def compile_main() -> int:
    """Run `compile`, which is `lethe compile`."""
    return main(["compile", *sys.argv[1:]])


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """argparse, which cannot take SELECT words after an option by itself."""
    parser = _parser()
    options, extra = parser.parse_known_args(arguments)
    if extra and (not hasattr(options, "select") or any(word.startswith("-") for word in extra)):
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    if extra:
        options.select += extra
    return options


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="lethe", description=HELP, epilog=EXIT_CODES, formatter_class=_Help)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name in VERBS:
        module = importlib.import_module(f"compiler.verbs.{name}")
        verb = verbs.add_parser(name, help=module.ABOUT, description=module.ABOUT, epilog=EXIT_CODES, formatter_class=_Help)
        module.arguments(verb)
        verb.set_defaults(run=module.run)
    return parser


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
