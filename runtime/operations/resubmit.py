"""Submit again what failed: submit_all.sh for these jobs, and for what needs them and was withdrawn or hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from runtime.operations.status import State, Status, Study, read_study, status_of
from runtime.operations.status.study import read_names

FAILED = ("failed", "truncated", "unknown")


def retry(plan: Path, store: Path | None, chosen: Path | None, yes: bool, dry_run: bool, as_json: bool) -> int:
    """Submit again what failed of a study; what was cancelled only where it was chosen. Return submit_all.sh's exit code."""
    study = read_study(plan, store)
    status = status_of(study)
    failed = failed_among(status, read_names(chosen))
    jobs = [*failed, *held_up(status, failed)]
    told = f"{study.name}: {in_words(failed)} to submit again" if failed else f"{study.name}: there is nothing to retry"
    for line in (*status.told_notes, told):
        print(line, file=sys.stderr)
    if as_json:
        held = [item.job for item in jobs[len(failed) :]]
        document = {"lethe": 1, "study": study.name, "retry": [item.job for item in failed], "with": held}
        print(json.dumps(document, indent=1), flush=True)
    return _submit(study, jobs, yes, dry_run, as_json) if failed else 0


def failed_among(status: Status, names: Collection[str] | None) -> list[State]:
    """The jobs that failed; among those that were chosen by name, also the cancelled ones."""
    wanted = FAILED if names is None else (*FAILED, "cancelled")
    return [item for item in status.jobs if item.state in wanted and (names is None or item.job in names)]


def held_up(status: Status, failed: Sequence[State]) -> list[State]:
    """The jobs that can never start because of these."""
    names = {item.job for item in failed}
    return [item for item in status.jobs if item.state == "upstream" and item.culprit in names]


def in_words(jobs: Sequence[State]) -> str:
    """Such as "3 jobs (2 failed, 1 truncated)"."""
    counts = Counter(item.state for item in jobs)
    each = ", ".join(f"{count} {state}" for state, count in counts.items())
    return f"{len(jobs)} job{'s' * (len(jobs) > 1)} ({each})"


def _submit(study: Study, jobs: Sequence[State], yes: bool, dry_run: bool, as_json: bool) -> int:
    options = [*(["--yes"] if yes else []), *(["--dry-run"] if dry_run else []), *(f"--select={item.job}" for item in jobs)]
    sys.stderr.flush()
    done = subprocess.run(
        ["bash", str(study.generated / "submit_all.sh"), *options],
        env={**os.environ, "LETHE_STORE": str(study.store)},
        stdout=sys.stderr.fileno() if as_json else None,
        check=False,
    )
    return done.returncode
