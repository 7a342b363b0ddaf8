"""`lethe logs SPEC JOB|CELL`: what a job wrote."""

from __future__ import annotations

import argparse

from compiler.verbs import runtime

ABOUT = "the log of a job, or of the job that tells most of a cell"

LOGS = """\
Of a cell it is the job that failed, else the one that runs, else its training. The log's name goes to standard error.

for instance:
  lethe logs specs/phase1.yaml train/on_rl_math_base_4b       its last attempt
  lethe logs specs/phase1.yaml on_rl_math_base_4b --follow    go on as the log grows, until Ctrl-C
  lethe logs specs/phase1.yaml on_rl_math_base_4b --lines 50  its end
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe logs` can be told."""
    runtime.arguments(parser)
    parser.add_argument("name", metavar="JOB|CELL", help="a job, such as train/NAME, or a cell")
    parser.add_argument("--follow", action="store_true", help="go on as the log grows")
    parser.add_argument("--lines", type=int, metavar="N", help="only the last N lines")
    parser.epilog = f"{LOGS}\n{parser.epilog or ''}"


def run(options: argparse.Namespace) -> int:
    """Become the runtime's command of that kind. Raises TreeError when the study is not compiled."""
    words = [*(["--follow"] if options.follow else []), *([] if options.lines is None else ["--lines", str(options.lines)])]
    return runtime.become("logs", options, [*words, "--", options.name])
