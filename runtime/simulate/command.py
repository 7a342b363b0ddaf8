"""`python -m runtime simulate PLAN`: the verb."""

from __future__ import annotations

import argparse
import json

from runtime.errors import JobError
from runtime.simulate import failures
from runtime.simulate.course import Study, read, simulate
from runtime.simulate.outcome import as_json, text


def run(options: argparse.Namespace) -> int:
    """Play it, and say what became of it. Raises JobError for what cannot be played."""
    study = read(options.plan)
    _check_kill(study, options.kill_submitter)
    failing = failures.chosen(list(study.jobs), options.fail, options.random, options.seed)
    outcome = simulate(study, failing, options.kill_submitter)
    print(json.dumps(as_json(outcome), indent=1) if options.json else text(outcome))
    return outcome.code


def _check_kill(study: Study, number: int | None) -> None:
    if number is not None and not 1 <= number <= len(study.jobs):
        raise JobError(f"--kill-submitter {number}: {study.name} has {len(study.jobs)} jobs; say 1 to {len(study.jobs)}")
