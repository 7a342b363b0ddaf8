"""How a compiled study is doing: its jobs by kind and state, and what failed, why, and where its log is.

Reads the plan, the done-markers, the ledger and, where Slurm runs the plan, one squeue call and at most one of sacct.

    done       its done-marker carries the plan's fingerprint, and the checkpoints of the plan's steps are there
    running    under way
    queued     Slurm will start it as soon as there is room
    waiting    submitted; it waits for other jobs
    failed     submitted or started, no longer under way, and not done
    cancelled  withdrawn: by Slurm, since a job that it needs failed, or by somebody
    never      not submitted with this fingerprint
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runtime import ledger, markers, steps
from runtime.errors import JobError
from runtime.store import folder_of

STATES = ("done", "running", "queued", "waiting", "failed", "cancelled", "never")
INCOMPLETE = 3
RUNNING = ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
PENDING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD")
STUCK = "a job that it needs has failed; submit_all.sh gives it new parents"


@dataclass(frozen=True)
class State:
    """How one job is doing. `reason` and `log` are set where they help; `part` is how far a running job says it is."""

    job: str
    kind: str
    state: str
    reason: str = ""
    log: str = ""
    part: float | None = None


@dataclass(frozen=True)
class Gate:
    """The study whose report must be done before this one starts, its canary, and whether it is."""

    study: str
    done: bool


@dataclass(frozen=True)
class _Study:
    """What is known from files: the plan's jobs, the store, and the ledger's last entry by job and fingerprint."""

    name: str
    slurm: bool
    store: Path
    jobs: Sequence[Mapping[str, Any]]
    entries: Mapping[tuple[str, str], ledger.Entry]
    gate: Gate | None = None


@dataclass(frozen=True)
class _Queued:
    """One line of squeue."""

    id: int
    state: str
    reason: str


def show(plan: Path, store: Path | None, as_json: bool) -> int:
    """Print how the study of `plan` is doing; return 0 when all of it is done, else 3."""
    study = _read(plan, store)
    states = states_of(study)
    if as_json:
        counts = Counter(item.state for item in states)
        document = {
            "lethe": 1,
            "study": study.name,
            "store": str(study.store),
            "gate": asdict(study.gate) if study.gate else None,
            "counts": {state: counts[state] for state in STATES},
            "jobs": [asdict(item) for item in states],
        }
        print(json.dumps(document, indent=1))
    else:
        print("\n".join([*table(study.name, states), *_waits(study.gate), *details(states)]))
    return 0 if all(item.state == "done" for item in states) else INCOMPLETE


def _read(path: Path, store: Path | None) -> _Study:
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        name, executor, jobs, written = plan["study"], plan["executor"], plan["jobs"], plan["store"]
    except OSError as error:
        raise JobError(f"{path}: cannot read this plan ({error.strerror}); it is generated/STUDY/plan.json") from error
    except (ValueError, KeyError, TypeError) as error:
        raise JobError(f"{path}: not a plan ({error}); compile the study again") from error
    folder = folder_of(path, written, store)
    entries = ledger.latest(ledger.read(ledger.path_of(folder, name)))
    return _Study(name, executor == "slurm", folder, jobs, entries, _gate(path, plan.get("gate"), folder))


def _gate(path: Path, name: str | None, store: Path) -> Gate | None:
    """How the study is doing that this one waits for, whose plan lies beside this one's."""
    if name is None:
        return None
    try:
        found = json.loads((path.parent.parent / name / "plan.json").read_text(encoding="utf-8"))
        (report,) = [job for job in found["jobs"] if job["kind"] == "report"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JobError(f"this study waits for {name}, whose plan cannot be read ({error}); compile the study again") from error
    return Gate(name, markers.is_done(store / f"{report['id']}-{report['fingerprint'][:12]}", report["fingerprint"]))


def _waits(gate: Gate | None) -> list[str]:
    """What to say of the study that this one waits for."""
    return [] if gate is None or gate.done else [f"nothing starts before {gate.study} has succeeded; see lethe status --canary"]


def states_of(study: _Study) -> list[State]:
    """Return the state of each job, in the plan's order."""
    done = {job["id"] for job in study.jobs if _is_done(study, job)}
    queue = _queue(study) if study.slurm and len(done) < len(study.jobs) else {}
    states = [_state(study, job, done, queue) for job in study.jobs]
    return _with_accounting(study, states) if study.slurm else states


def _is_done(study: _Study, job: Mapping[str, Any]) -> bool:
    out = _out(study, job)
    return markers.is_done(out, job["fingerprint"]) and not steps.missing_in(out, job.get("execution", {}).get("keep") or ())


def _out(study: _Study, job: Mapping[str, Any]) -> Path:
    return study.store / f"{job['id']}-{job['fingerprint'][:12]}"


def _state(study: _Study, job: Mapping[str, Any], done: Set[str], queue: Mapping[str, _Queued]) -> State:
    if job["id"] in done:
        return State(job["id"], job["kind"], "done")
    entry = study.entries.get((job["id"], job["fingerprint"]))
    if study.slurm:
        return _under_slurm(study, job, entry, queue.get(_slurm_name(study, job)))
    return _here(study, job, entry)


def _here(study: _Study, job: Mapping[str, Any], entry: ledger.Entry | None) -> State:
    if entry is None:
        return State(job["id"], job["kind"], "never")
    log = str(_log(study, job["id"]))
    if entry.event == "started":
        if _alive(int(entry.id)):
            return State(job["id"], job["kind"], "running", log=log, part=_part(study, job))
        return State(job["id"], job["kind"], "failed", "ended without a word: killed, or the machine went down", log)
    reason = entry.note or "its artifact is gone from the store"
    return State(job["id"], job["kind"], "failed", reason, log)


def _under_slurm(study: _Study, job: Mapping[str, Any], entry: ledger.Entry | None, queued: _Queued | None) -> State:
    number = queued.id if queued else int(entry.id) if entry else None
    if number is None:
        return State(job["id"], job["kind"], "never")
    log = str(_log(study, job["id"], number))
    if queued and queued.state in RUNNING:
        return State(job["id"], job["kind"], "running", log=log, part=_part(study, job))
    if queued and queued.state in PENDING:
        stuck = queued.reason == "DependencyNeverSatisfied"
        state = "waiting" if queued.reason.startswith("Dependency") else "queued"
        return State(job["id"], job["kind"], state, STUCK if stuck else queued.reason)
    if queued and queued.state == "CANCELLED":
        return State(job["id"], job["kind"], "cancelled", queued.reason, log)
    return State(job["id"], job["kind"], "failed", f"{queued.state}, {queued.reason}" if queued else "", log)


def _slurm_name(study: _Study, job: Mapping[str, Any]) -> str:
    return f"{study.name}.{job['id'].replace('/', '.', 1)}.{job['fingerprint'][:8]}"


def _log(study: _Study, job: str, number: int | None = None) -> Path:
    tail = "" if number is None else f"-{number}"
    return study.store / "logs" / study.name / f"{job.replace('/', '.', 1)}{tail}.out"


def _part(study: _Study, job: Mapping[str, Any]) -> float | None:
    try:
        progress = json.loads((_out(study, job) / "PROGRESS.json").read_text(encoding="utf-8"))
        return float(progress["done"] / progress["total"])
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return None


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# ---- Slurm ----------------------------------------------------------------------------------------------------------


def _queue(study: _Study) -> dict[str, _Queued]:
    """Return what Slurm still knows of this study's jobs in this store, by name; of several with one, the newest."""
    command = ["squeue", "--noheader", "--states=all", f"--user={getpass.getuser()}", "--format=%i|%j|%T|%r|%k"]
    recorded = {entry.id for entry in study.entries.values()}
    rows = [line.split("|", 4) for line in _ask(command)]
    named = [row for row in rows if len(row) == 5 and row[1].startswith(f"{study.name}.")]
    ours = [row for row in named if row[0] in recorded or row[4] == str(study.store)]
    return {row[1]: _Queued(int(row[0]), row[2], row[3]) for row in sorted(ours, key=lambda row: int(row[0]))}


def _with_accounting(study: _Study, states: Sequence[State]) -> list[State]:
    """Give the failed jobs that squeue has forgotten the reason that sacct remembers, where there is accounting."""
    unknown = {_id_in(item.log): item for item in states if item.state == "failed" and not item.reason}
    if not unknown or shutil.which("sacct") is None:
        return [_explained(item, {}) for item in states]
    command = ["sacct", "-X", "-n", "-P", "-j", ",".join(unknown), "-o", "JobIDRaw,State,ExitCode"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [line.split("|") for line in result.stdout.splitlines()]
    reasons = {row[0]: f"{row[1]}, exit code {row[2]}" for row in rows if len(row) == 3}
    return [_explained(item, reasons) for item in states]


def _explained(item: State, reasons: Mapping[str, str]) -> State:
    if item.state != "failed" or item.reason:
        return item
    reason = reasons.get(_id_in(item.log), "Slurm has forgotten it; its log may say why")
    state = "cancelled" if reason.startswith("CANCELLED") else "failed"
    return State(item.job, item.kind, state, reason, item.log)


def _id_in(log: str) -> str:
    return Path(log).stem.rpartition("-")[2]


def _ask(command: Sequence[str]) -> list[str]:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise JobError(f"there is no {command[0]} here; ask for the status on a machine of the cluster") from error
    if result.returncode:
        raise JobError(f"{command[0]} could not be asked: {result.stderr.strip()}")
    return result.stdout.splitlines()


# ---- what is printed ------------------------------------------------------------------------------------------------


def table(name: str, states: Sequence[State]) -> list[str]:
    """Return the lines of a table: one row a kind, one column a state that occurs, and a last row of sums."""
    used = [state for state in STATES if any(item.state == state for item in states)]
    kinds = list(dict.fromkeys(item.kind for item in states))
    cells = Counter((item.kind, item.state) for item in states)
    rows = [[kind, *(str(cells[kind, state] or "") for state in used)] for kind in kinds]
    sums = ["all", *(str(sum(cells[kind, state] for kind in kinds)) for state in used)]
    grid = [[name, *used], *rows, sums]
    widths = [max(len(row[column]) for row in grid) for column in range(len(used) + 1)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in grid]


def details(states: Sequence[State]) -> list[str]:
    """Return what to say of single jobs: how far the running ones are, why others failed or cannot start."""
    lines = [f"running: {item.job}{_percent(item.part)}" for item in _in(states, "running")]
    lines += [f"failed: {item.job}: {item.reason}\n    log: {item.log}" for item in _in(states, "failed")]
    lines += [f"waiting: {item.job}: {item.reason}" for item in _in(states, "waiting") if item.reason == STUCK]
    return lines


def _percent(part: float | None) -> str:
    return "" if part is None else f" {part:.0%}"


def _in(states: Sequence[State], state: str) -> list[State]:
    return [item for item in states if item.state == state]
