"""`lethe status SPEC [SELECT]`: how the cells and the jobs of a study are doing."""

from __future__ import annotations

import argparse

from compiler.verbs import choosing, runtime

ABOUT = "what is done, running, failed: a matrix of the cells, and the jobs by state"
SECONDS = 30.0

STATES = """\
states:
  done       its done-marker carries the plan's fingerprint
  running    with its step, and the time that is left at the pace so far
  queued     Slurm starts it as soon as there is room          held      somebody must release it
  waiting    for other jobs                                    TRUNCATED ended before its last step; it can go on from there
  failed     and why; `lethe triage` groups these by cause     upstream  something that it needs failed, so it never starts
  cancelled  withdrawn by somebody                             unknown   submitted, and Slurm has forgotten it
  stale      not submitted; the result of an older version is there       never     not submitted

It asks squeue once, and sacct once where something ended. Without sacct it says less, and without Slurm it reads the files
alone, and says so.

for instance:
  lethe status specs/phase1.yaml                              everything
  lethe status specs/phase1.yaml method:on_rl,domain:math     some of it
  lethe status specs/phase1.yaml --watch                      again every 30 seconds, until nothing is under way
  lethe status specs/phase1.yaml --json                       for scripts: counts, cells, jobs, and who was asked

It ends with 0 when all that was asked for is done, else with 3.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe status` can be told."""
    choosing.arguments(parser, "which jobs; default: all")
    parser.add_argument("--canary", action="store_true", help="of the study's canary instead")
    parser.add_argument(
        "--watch", nargs="?", type=float, const=SECONDS, metavar="SECONDS",
        help="show it again every SECONDS (default: 30; under Slurm at least 10), until nothing is under way",
    )  # fmt: skip
    choosing.teach(parser, STATES)


def run(options: argparse.Namespace) -> int:
    """Become the runtime's command of that kind. Raises LetheError for a study that is not compiled, or a wrong SELECT."""
    words = choosing.chosen_words(options, options.select)
    words += [] if options.watch is None else ["--watch", str(options.watch)]
    return runtime.become("status", options, words)
