"""`lethe cancel SPEC [SELECT]`: withdraw what is queued or runs."""

from __future__ import annotations

import argparse

from compiler.verbs import choosing, runtime

ABOUT = "withdraw what is queued or runs, after asking"

CANCEL = """\
It asks first, then gives scancel the ids of these jobs (those in the study's ledger, or under its names in Slurm's queue),
notes that in the ledger, and says what was cancelled. What waits for a cancelled job can never start; `lethe retry` with a
SELECT submits both again. Without SELECT it also withdraws the small job that would submit the rest of the study when there is
room.

for instance:
  lethe cancel specs/phase1.yaml                    all of it
  lethe cancel specs/phase1.yaml result:queued      what has not started
  lethe cancel specs/phase1.yaml method:on_rl+      on_rl, and what is made from it
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe cancel` can be told."""
    choosing.arguments(parser, "among which jobs; default: all")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    choosing.teach(parser, CANCEL)


def run(options: argparse.Namespace) -> int:
    """Become the runtime's command of that kind. Raises LetheError for a study that is not compiled, or a wrong SELECT."""
    words = choosing.chosen_words(options, options.select)
    return runtime.become("cancel", options, [*words, *(["--yes"] if options.yes else [])])
