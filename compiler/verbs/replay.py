"""`lethe replay SPEC JOB|CELL`: the command that runs a job by hand."""

from __future__ import annotations

import argparse

from compiler.verbs import runtime

ABOUT = "print the one command that runs a job by hand"

REPLAY = """\
The command is the job's own script with the variables that submit_all.sh gives it, quoted, to be pasted into any shell. What is
to be known before (inputs that are missing, resources to ask for) goes to standard error. Nothing is run.

for instance:
  lethe replay specs/phase1.yaml train/on_rl_math_base_4b     print it
  eval "$(lethe replay specs/phase1.yaml fetch/base_4b)"      run it here, such as on a login node with network
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe replay` can be told."""
    runtime.arguments(parser)
    parser.add_argument("name", metavar="JOB|CELL", help="a job, such as train/NAME, or a cell: its job that tells most")
    parser.epilog = f"{REPLAY}\n{parser.epilog or ''}"


def run(options: argparse.Namespace) -> int:
    """Become the runtime's command of that kind. Raises TreeError when the study is not compiled."""
    return runtime.become("replay", options, ["--", options.name])
