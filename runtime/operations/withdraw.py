"""Withdraw a study's jobs from Slurm: those that are queued or run, by the ids in the ledger and in Slurm's queue."""

from __future__ import annotations

import getpass
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from runtime.errors import JobError
from runtime.operations.status import State, Status, Study, read_study, status_of
from runtime.operations.status.slurm import LIVE
from runtime.operations.status.study import read_names
from runtime.store import ledger

IDS_A_CALL = 1000
MOST_NAMES = 20


def cancel(plan: Path, store: Path | None, chosen: Path | None, yes: bool, as_json: bool) -> int:
    """Withdraw a study's jobs, after asking; return 0, or 1 when the answer is no. Raises JobError where Slurm refuses."""
    study, names = read_study(plan, store), read_names(chosen)
    if not study.slurm:
        raise JobError(f"{study.name} runs on this machine: press Ctrl-C where its submit_all.sh runs")
    status = status_of(study)
    if status.notes:
        raise JobError(f"{status.notes[0].partition(';')[0]}; nothing was cancelled")
    jobs = [item for item in status.jobs if item.slurm in LIVE and (names is None or item.job in names)]
    feeder = status.feeder if names is None else ""
    if not jobs and not feeder:
        print(f"{study.name}: nothing of this is queued or running", file=sys.stderr)
    elif not yes and not _agreed(study, status, jobs):
        print("nothing was cancelled; answer y, or pass --yes", file=sys.stderr)
        return 1
    _withdraw(study, jobs, feeder)
    _say(study, jobs, as_json)
    return 0


def _agreed(study: Study, status: Status, jobs: Sequence[State]) -> bool:
    counts = Counter(item.state for item in jobs)
    each = ", ".join(f"{count} {state}" for state, count in counts.items())
    held = _left_behind(study, status, {item.job for item in jobs})
    more = f"; {held} more wait for these, and can never start then" if held else ""
    print(
        f"{study.name}: cancel {len(jobs)} job{'s' * (len(jobs) > 1)} ({each}){more}? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _left_behind(study: Study, status: Status, names: Collection[str]) -> int:
    """How many jobs in the queue need one of these, and are none of them."""
    gone, live = set(names), {item.job for item in status.jobs if item.slurm in LIVE}
    for job in study.jobs:  # each comes after what it needs
        if job["id"] in live and any(parent["id"] in gone for parent in study.needs(job)):
            gone.add(job["id"])
    return len(gone - set(names))


def _withdraw(study: Study, jobs: Sequence[State], feeder: str) -> None:
    """Dependents first, so that none starts, or is withdrawn by Slurm, in between."""
    ids = [*([feeder] if feeder else []), *(number for item in reversed(jobs) for number in (*item.links, item.id))]
    by_id = {item.id: item.job for item in jobs}
    for first in range(0, len(ids), IDS_A_CALL):
        some = ids[first : first + IDS_A_CALL]
        done = subprocess.run(["scancel", *some], capture_output=True, text=True, check=False)
        if done.returncode:
            said = " ".join(done.stderr.split())
            raise JobError(f"scancel: {said}; {first} of {len(ids)} jobs are cancelled. lethe status shows what is left")
        for number in some:
            if number in by_id:
                _record(study, by_id[number], number)


def _record(study: Study, job: str, number: str) -> None:
    note = f"by {getpass.getuser()} with lethe cancel"
    ledger.append(study.ledger_file, "cancelled", job, study.by_id[job]["fingerprint"], number, note)


def _say(study: Study, jobs: Sequence[State], as_json: bool) -> None:
    if as_json:
        gone = [{"job": item.job, "id": item.id, "was": item.state} for item in jobs]
        print(json.dumps({"lethe": 1, "study": study.name, "cancelled": gone}, indent=1))
        return
    for item in jobs[:MOST_NAMES]:
        print(f"cancelled: {item.job} ({item.id}, was {item.state})")
    if len(jobs) > MOST_NAMES:
        print(f"cancelled: and {len(jobs) - MOST_NAMES} more, see {study.ledger_file}")
