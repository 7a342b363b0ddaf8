"""`lethe simulate SPEC`: the generated scripts on a pretended Slurm, with jobs that fail on cue."""

from __future__ import annotations

import argparse
from pathlib import Path

from compiler.verbs import runtime

ABOUT = "submit a compiled study to a pretended Slurm on this machine, with jobs that fail on cue"

SIMULATING = """\
What is real: generated/STUDY/submit_all.sh, run by bash; each script's #SBATCH lines, and its syntax; the contracts; the
done-markers. What is pretended: Slurm (dependencies, holds, requeues, cancellations; room for all jobs, no clock) and the
jobs' commands, which need GPUs: instead of them, inputs are checked and an empty artifact gets its done-marker. Nothing is
written but a temporary store, nothing is asked of a real Slurm.

Then submit_all.sh is run once more, and what it submits succeeds: that is what you would do about the failures.

ends of jobs:
  FAILED TIMEOUT OUT_OF_MEMORY CANCELLED    what needs the job can never start
  NODE_FAIL PREEMPTED                       it runs again, under its id, where its script asks to be requeued

for instance:
  lethe simulate specs/phase1.yaml                                      does everything run?
  lethe simulate specs/phase1.yaml --fail 'train/on_rl_*=TIMEOUT'       what is held up by these, and does anything hang?
  lethe simulate specs/phase1.yaml --random 0.05 --seed 7               one job in twenty fails
  lethe simulate specs/phase1.yaml --kill-submitter 40                  is anything submitted twice, or lost?

It ends with 0 when all that could run did, and with 3 when jobs are left hanging, are submitted twice, or fail untold.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe simulate` can be told."""
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the study, for example specs/phase1.yaml")
    parser.add_argument(
        "--fail", action="append", default=[], metavar="JOB=END", help="let a job end so; JOB may have * ? []; may be repeated"
    )
    parser.add_argument("--random", type=float, metavar="P", help="let each job fail with probability P, of any cause")
    parser.add_argument("--seed", type=int, metavar="N", help="which draw of --random; default: 0")
    parser.add_argument(
        "--kill-submitter", type=int, metavar="N", help="kill submit_all.sh when Slurm has its Nth job, and run it again"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.set_defaults(store=None)
    parser.epilog = f"{SIMULATING}\n{parser.epilog or ''}"


def run(options: argparse.Namespace) -> int:
    """Become the runtime's command of that kind. Raises TreeError when the study is not compiled."""
    given = {"random": options.random, "seed": options.seed, "kill-submitter": options.kill_submitter}
    words = [f"--{name}={value}" for name, value in given.items() if value is not None]
    return runtime.become("simulate", options, [*words, *(f"--fail={name}" for name in options.fail)])
