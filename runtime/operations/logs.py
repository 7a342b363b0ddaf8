"""A job's log, and the command that runs it by hand; a cell stands for that of its jobs which tells most of it."""

from __future__ import annotations

import difflib
import json
import os
import shlex
import sys
from collections import deque
from pathlib import Path

from runtime.errors import JobError
from runtime.operations.status import Study, read_study, status_of
from runtime.operations.status.matrix import cell_states
from runtime.operations.status.study import PlannedJob

SBATCH = "#SBATCH "


def show(plan: Path, store: Path | None, name: str, follow: bool, lines: int | None, as_json: bool) -> int:
    """Print the log of a job's last attempt, or its last `lines`; with `follow`, go on as it grows. Raises JobError."""
    study = read_study(plan, store)
    job = find_job(study, name)
    path = log_of(study, job)
    if follow:
        sys.stdout.flush()
        os.execvp("tail", ["tail", "-n", "+1" if lines is None else str(lines), "-F", "--", str(path)])
    if not path.exists():
        raise JobError(
            f"{job['id']} has no log yet; it would be {path}. lethe status says how it is doing, --follow waits for it"
        )
    with path.open(encoding="utf-8", errors="replace") as file:
        text = "".join(file if lines is None else deque(file, lines))
    if as_json:
        print(json.dumps({"lethe": 1, "job": job["id"], "log": str(path), "text": text}, indent=1))
    else:
        print(f"{job['id']}: {path}", file=sys.stderr, flush=True)
        sys.stdout.write(text)
    return 0


def replay(plan: Path, store: Path | None, name: str, as_json: bool) -> int:
    """Print the one command that runs a job by hand, fit to be pasted into a shell; what is to be known of it goes beside."""
    study = read_study(plan, store)
    job = find_job(study, name)
    words = ["env", f"LETHE_ROOT={study.root}", f"LETHE_STORE={study.store}", "bash", str(study.script(job))]
    notes = _notes(study, job)
    if as_json:
        print(json.dumps({"lethe": 1, "job": job["id"], "command": words, "notes": notes}, indent=1))
        return 0
    for note in notes:
        print(f"note: {note}", file=sys.stderr, flush=True)
    print(shlex.join(words))
    return 0


def find_job(study: Study, name: str) -> PlannedJob:
    """The job of that id, or the one that tells most of the cell of that id. Raises JobError for a name that is neither."""
    if name in study.by_id:
        return study.by_id[name]
    cells = {cell["id"]: cell for cell in study.cells}
    if name in cells:
        states = {item.job: item for item in status_of(study).jobs}
        (found,) = [cell for cell in cell_states(study, states) if cell.cell == name]
        return study.by_id[cells[name]["train"] if found.state == "done" else found.job.job]
    near = difflib.get_close_matches(name, [*cells, *study.by_id], n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"lethe ls {study.spec} lists them"
    raise JobError(f"{study.name} has no job or cell '{name}'; {hint}")


def log_of(study: Study, job: PlannedJob) -> Path:
    """The log of a job's last attempt; where it is not there, the one written last."""
    entry = study.entry(job)
    path = study.log(job, entry.id if entry and study.slurm else "")
    return path if path.exists() else next(iter(study.logs(job)), path)


def _notes(study: Study, job: PlannedJob) -> list[str]:
    """What somebody should know who is about to run a job by hand."""
    missing = [parent["id"] for parent in study.needs(job) if not study.is_done(parent)]
    notes = [f"it stops at once, since these are not done: {' '.join(missing)}"] if missing else []
    if study.is_done(job):
        notes.append(f"it is done, and ends at once; to make it again, move {study.out(job)} away first")
    asked = _asks_for(study.script(job))
    if study.slurm and asked:
        notes.append(f"it needs what its script asks for; on a login node first: salloc {asked}")
    return notes


def _asks_for(script: Path) -> str:
    """The resources in a script's #SBATCH lines, as options of salloc."""
    try:
        lines = [line.strip() for line in script.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise JobError(f"cannot read {script} ({error.strerror}); compile the study again") from error
    own = ("--job-name", "--requeue", "--open-mode", "--signal", "--output", "--array", "--comment")
    words = [word for line in lines if line.startswith(SBATCH) for word in line.removeprefix(SBATCH).split()]
    return " ".join(word for word in words if not word.startswith(own))
