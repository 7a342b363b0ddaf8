"""`lethe retry SPEC [SELECT]`: submit again what failed."""

from __future__ import annotations

import argparse
import sys

from compiler.verbs import choosing, runtime

ABOUT = "submit again what failed"

RETRY = """\
It runs generated/STUDY/submit_all.sh for the jobs that failed, are TRUNCATED, or are unknown to Slurm, and for what can never
start because of them; with SELECT, only for those of them that it means, then also for cancelled ones. What is under way is
left alone, what is done is not done again, and a truncated training goes on from its checkpoint. What failed for want of memory
or for a mistake ends the same again: mend that first, see `lethe triage`.

for instance:
  lethe retry specs/phase1.yaml                            everything that failed
  lethe retry specs/phase1.yaml method:on_rl,stage:train   only these, and what they hold up
  lethe retry specs/phase1.yaml --dry-run                  print the sbatch lines; change nothing
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe retry` can be told."""
    choosing.arguments(parser, "among which jobs; default: all")
    parser.add_argument("--dry-run", action="store_true", help="print what would be submitted; change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask before submitting")
    choosing.teach(parser, RETRY)


def run(options: argparse.Namespace) -> int:
    """Become the runtime's command of that kind. Raises LetheError for a study that is not compiled, or a wrong SELECT."""
    words = choosing.chosen_words(options, options.select)
    _warn_of_edits(options)
    words += [f"--{name.replace('_', '-')}" for name in ("dry_run", "yes") if getattr(options, name)]
    return runtime.become("retry", options, words)


def _warn_of_edits(options: argparse.Namespace) -> None:
    """Say it when the spec is not what was compiled: a retry is of what was compiled."""
    from compiler.diagnostics import LetheError
    from compiler.pipeline import compile_study
    from compiler.plan.plan import read_plan

    compiled = read_plan(runtime.compiled_plan(options.spec))
    try:
        same = {job.fingerprint for job in compile_study(options.spec).plan.jobs} == {job.fingerprint for job in compiled.jobs}
    except LetheError:
        same = False
    if not same:
        told = f"{options.spec} has changed since it was compiled; what is retried is what was compiled"
        print(f"note: {told}. What changed: lethe diff {options.spec}", file=sys.stderr)
