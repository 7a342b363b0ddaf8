"""From what files and Slurm say to one state for each job of a study."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runtime.errors import EndedEarly
from runtime.operations.status import slurm
from runtime.operations.status.slurm import Seen
from runtime.operations.status.study import SHORT, PlannedJob, Study, other_results
from runtime.store import attempts, ledger

STATES = (
    "done", "running", "queued", "held", "waiting",
    "truncated", "failed", "upstream", "cancelled", "unknown", "stale", "never",
)  # fmt: skip
LIVE = ("running", "queued", "held", "waiting")
BROKEN = ("failed", "truncated", "cancelled", "upstream")  # what needs these can never start
ENDED_EARLY = EndedEarly.exit_code


@dataclass(frozen=True)
class Progress:
    """How far a job says it is. `left` are the seconds to its last step at the pace so far; None before there is a pace."""

    done: float
    total: float
    left: float | None = None

    @property
    def part(self) -> float:
        """The share of its steps that are behind it."""
        return self.done / self.total


@dataclass(frozen=True)
class State:
    """How one job is doing. `id` is Slurm's or the process's, `exit` the exit code, `slurm` Slurm's word for its state.

    `culprit` is the job, however far up, for which this one can never start; `links` are the ids of its other links that run or
    will. What is not known is empty.
    """

    job: str
    kind: str
    state: str
    reason: str = ""
    log: str = ""
    id: str = ""
    exit: int | None = None
    slurm: str = ""
    progress: Progress | None = None
    culprit: str = ""
    links: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """Every job's state, in the plan's order; who was asked, and what is to be said of that.

    `feeder` is the id of the job that submits the rest of the study, where there is one.
    """

    jobs: Sequence[State]
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()
    feeder: str = ""

    @property
    def told_notes(self) -> list[str]:
        """The notes for people, with who was asked instead."""
        return [f"note: {note}. This is told from {' and '.join(self.sources)} alone" for note in self.notes]


def status_of(study: Study) -> Status:
    """How every job of a study is doing."""
    done = {job["id"] for job in study.jobs if study.is_done(job)}
    asks = study.slurm and len(done) < len(study.jobs)
    known = slurm.ask(study, done) if asks else slurm.Known({}, ())
    blind = asks and "squeue" not in known.sources
    others = other_results(study, (job for job in study.jobs if job["id"] not in done))
    states: dict[str, State] = {}
    for job in study.jobs:
        own = _own(study, job, job["id"] in done, known.seen.get(job["id"]), blind)
        states[job["id"]] = _settled(study, job, own, states, others.get(job["id"], ()))
    return Status(tuple(states.values()), ("files", *known.sources), known.notes, known.feeder)


def _own(study: Study, job: PlannedJob, is_done: bool, seen: Seen | None, blind: bool) -> State:
    """The state of a job as if nothing were known of the others."""
    nothing = State(job["id"], job["kind"], "never")
    if is_done:
        return replace(nothing, state="done")
    entry = study.entry(job)
    if study.slurm and seen is not None:
        return _seen(study, job, nothing, seen)
    if entry is None:
        return nothing
    return _forgotten(study, job, nothing, entry, blind) if study.slurm else _here(study, job, nothing, entry)


# ---- under Slurm ----------------------------------------------------------------------------------------------------


def _seen(study: Study, job: PlannedJob, nothing: State, seen: Seen) -> State:
    base = replace(nothing, id=seen.id, log=_log(study, job, seen.id), slurm=seen.state, links=seen.links)
    if seen.state in slurm.RUNNING:
        return replace(base, state="running", progress=progress_in(study.out(job)))
    if seen.state in slurm.PENDING:
        return replace(base, state=_pending(seen.reason), reason=seen.reason, log="")
    if seen.state == "CANCELLED":
        state = "upstream" if seen.reason == "DependencyNeverSatisfied" else "cancelled"
        return replace(base, state=state, reason=seen.reason)
    said = "but left no done-marker" if seen.state == "COMPLETED" else seen.reason if seen.reason != "None" else ""
    words = [seen.state, said, _exit_words(seen.exit)]
    return _ended(study, job, replace(base, state="failed", reason=", ".join(filter(None, words)), exit=_code(seen.exit)))


def _pending(reason: str) -> str:
    if reason in ("JobHeldUser", "JobHeldAdmin"):
        return "held"
    if reason == "DependencyNeverSatisfied":
        return "upstream"
    return "waiting" if reason == "Dependency" else "queued"


def _forgotten(study: Study, job: PlannedJob, nothing: State, entry: ledger.Entry, blind: bool) -> State:
    """A job that was submitted, and that Slurm does not speak of."""
    base = replace(nothing, id=entry.id, log=_log(study, job, entry.id))
    if entry.event == "cancelled":
        return replace(base, state="cancelled", reason=entry.note)
    found = _ended(study, job, base)
    if found.state != "never":
        return found
    if blind:
        reason = f"submitted as {entry.id}; Slurm could not be asked"
        return replace(base, state="unknown", reason=reason, progress=progress_in(study.out(job)))
    return replace(base, state="unknown", reason=f"Slurm has forgotten {entry.id}; its log may say why")


def _ended(study: Study, job: PlannedJob, base: State) -> State:
    """What the files know of how a job ended; `base` where they know nothing. A mark of another attempt counts for nothing."""
    out = study.out(job)
    mark, attempt = attempts.truncated(out), attempts.latest(out)
    if mark and mark.get("fingerprint") == job["fingerprint"]:
        reason = f"{mark.get('done')} of {mark.get('total')} steps; it goes on from there when it is submitted again"
        return replace(base, state="truncated", reason=reason, exit=ENDED_EARLY)
    if base.exit == ENDED_EARLY:
        return replace(base, state="truncated", reason="ended early; it goes on from its checkpoint when it is submitted again")
    same = attempt and attempt.fingerprint == job["fingerprint"] and _is_of(attempt.slurm, study.chain(base.id))
    if attempt and attempt.exit_code and same:
        reason = ", ".join(filter(None, [base.slurm, attempt.why or f"exit code {attempt.exit_code}"]))
        return replace(base, state="failed", reason=reason, exit=attempt.exit_code)
    return base


def _is_of(noted: str | None, numbers: Sequence[str]) -> bool:
    """Whether an attempt is of one of these ids. An element of an array has a raw id of its own, which only it itself sees."""
    return noted is None or noted in numbers or any("_" in number for number in numbers)


def _code(written: str) -> int | None:
    code = written.partition(":")[0]
    return int(code) if code.isdecimal() and int(code) else None


def _exit_words(written: str) -> str:
    return f"exit code {written}" if written not in ("", "0:0") else ""


def _log(study: Study, job: PlannedJob, number: str) -> str:
    """The log of an attempt; where it has another name, the newest of the job."""
    path = study.log(job, number)
    if path.exists():
        return str(path)
    return str(next(iter(study.logs(job)), path))


# ---- on this machine ------------------------------------------------------------------------------------------------


def _here(study: Study, job: PlannedJob, nothing: State, entry: ledger.Entry) -> State:
    base = replace(nothing, log=str(study.log(job)), id=entry.id)
    if entry.event == "started" and _alive(entry.id):
        return replace(base, state="running", progress=progress_in(study.out(job)))
    found = _ended(study, job, base)
    if found.state == "truncated":
        return found
    lost = "ended without a word: killed, or the machine went down"
    reason = lost if entry.event == "started" else entry.note or "its artifact is gone from the store"
    noted = re.match(r"exit code (\d+)", entry.note)
    return replace(base, state="failed", reason=reason, exit=found.exit or (int(noted[1]) if noted else None))


def _alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


# ---- together -------------------------------------------------------------------------------------------------------


def _settled(study: Study, job: PlannedJob, own: State, states: Mapping[str, State], others: Sequence[str]) -> State:
    """A job's state in the light of those of what it needs, which come before it in the plan."""
    culprit = _culprit(study.needs(job), states)
    skipped = own.state == "never" and not study.slurm
    if own.state == "upstream" or (culprit and (own.state == "waiting" or skipped)):
        why = f"{culprit.job} {_past(culprit.state)}" if culprit else "a job that it needs has failed"
        mend = "submit_all.sh gives it new parents" if study.slurm else "it runs when that is done"
        return replace(own, state="upstream", reason=f"{why}; {mend}", culprit=culprit.job if culprit else "")
    if own.state == "never" and others:
        reason = f"the store has {', '.join(others)}, this plan makes {job['fingerprint'][:SHORT]}"
        return replace(own, state="stale", reason=reason)
    return own


def _culprit(needs: Iterable[PlannedJob], states: Mapping[str, State]) -> State | None:
    """The first job, however far up, that broke what a job needs."""
    broken = [states[job["id"]] for job in needs if job["id"] in states and states[job["id"]].state in BROKEN]
    if not broken:
        return None
    return states.get(broken[0].culprit, broken[0])


def _past(state: str) -> str:
    return {"failed": "failed", "cancelled": "was cancelled", "truncated": "is truncated", "upstream": "cannot start"}[state]


def progress_in(out: Path) -> Progress | None:
    """How far the job that writes into `out` says it is; None where it says nothing that can be read."""
    try:
        told: dict[str, Any] = json.loads((out / "PROGRESS.json").read_text(encoding="utf-8"))
        done, total = float(told["done"]), float(told["total"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Progress(done, total, _left(told, done, total)) if total > 0 else None


def _left(told: Mapping[str, Any], done: float, total: float) -> float | None:
    """Seconds to the end, from the steps between the attempt's first report and its last."""
    try:
        first, since, at = float(told["first_done"]), float(told["first_at"]), float(told["at"])
    except (KeyError, TypeError, ValueError):
        return None
    if done <= first or at <= since:
        return None
    pace = (at - since) / (done - first)
    return max(0.0, pace * (total - done) - max(0.0, time.time() - at))
