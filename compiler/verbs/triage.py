"""`lethe triage SPEC [SELECT]`: what failed, grouped by cause, with what helps."""

from __future__ import annotations

import argparse

from compiler.verbs import choosing, runtime

ABOUT = "what failed, grouped by its cause, with what helps"

TRIAGE = """\
Failures that look alike (by Slurm's state, the exit code, and the end of the log) are one group. It says how many cells it
hits, which values of axes all of these share, one line of a log, what helps, and the selection that means exactly these jobs.
What failures look like stands in runtime/operations/triage/signatures.yaml; add your site's own there.

for instance:
  lethe triage specs/phase1.yaml                  everything that failed, is TRUNCATED, or is unknown to Slurm
  lethe triage specs/phase1.yaml method:on_rl     only of these cells

It ends with 0 when nothing has failed, else with 3.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe triage` can be told."""
    choosing.arguments(parser, "among which jobs; default: all")
    choosing.teach(parser, TRIAGE)


def run(options: argparse.Namespace) -> int:
    """Become the runtime's command of that kind. Raises LetheError for a study that is not compiled, or a wrong SELECT."""
    return runtime.become("triage", options, choosing.chosen_words(options, options.select))
