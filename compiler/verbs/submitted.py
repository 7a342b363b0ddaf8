"""What was submitted of a study, as a plan: read from the ledger and the done-markers in the store, which are files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from compiler.diagnostics import TreeError
from compiler.plan.plan import SHORT, Job, Plan
from compiler.plan.results import made_as

LIVE = ("running", "queued", "held", "waiting")
_LOST = ("failed", "truncated", "cancelled", "upstream", "unknown")
_COLUMNS = 6  # of the ledger: time, event, job, fingerprint, id, note


@dataclass(frozen=True)
class Submitted:
    """The jobs that run or are done, each with the fingerprint that it was submitted with, and those that are under way."""

    plan: Plan
    live: frozenset[str]
    note: str = ""


def submitted(new: Plan, generated: Plan | None, store: Path, states: Mapping[str, str], note: str = "") -> Submitted:
    """What was submitted of the study of `new`.

    `generated` is the compiled plan; `states` is how its jobs are doing, by id, empty where that is not known. A fingerprint
    that neither plan knows stands for a job of which nothing else is known any more.
    """
    lost = {(job.id, job.fingerprint) for job in generated.jobs if states.get(job.id) in _LOST} if generated else set()
    started = {
        job: print_ for job, print_ in ledger(store / "ledger" / f"{new.study}.tsv").items() if (job, print_) not in lost
    }
    known = {(job.id, job.fingerprint): job for plan in (generated, new) if plan for job in plan.jobs}
    shapes = {job.id: job for plan in (generated, new) if plan for job in plan.jobs}
    done = _done(store, {*shapes, *started})
    now = {job.id: job.fingerprint for job in new.jobs}
    jobs = []
    for name in dict.fromkeys([*shapes, *started]):
        print_ = _of(name, now.get(name), started, done)
        if print_:
            jobs.append(known.get((name, print_)) or _unknown(name, print_, shapes.get(name)))
    live = {job.id for job in generated.jobs if states.get(job.id) in LIVE} if generated else set()
    return Submitted(replace(generated or new, jobs=tuple(jobs)), frozenset(live), note)


def _of(name: str, now: str | None, started: Mapping[str, str], done: Mapping[str, set[str]]) -> str | None:
    """The fingerprint to compare with: today's if that is done, else the last submitted one, else one that is done."""
    finished = done.get(name, set())
    if now in finished:
        return now
    return started.get(name) or max(finished, default=None)


def ledger(path: Path) -> dict[str, str]:
    """The fingerprint with which each job was last submitted or started; not of those that failed or were cancelled since.

    Raises TreeError when the ledger is there and cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    except OSError as error:
        raise TreeError(f"cannot read {path}: {error.strerror}.") from error
    found: dict[str, str] = {}
    for row in (line.split("\t") for line in lines):
        if len(row) == _COLUMNS and row[4]:
            found.pop(row[2], None)
            if row[1] not in ("failed", "cancelled"):
                found[row[2]] = row[3]
    return found


def _done(store: Path, names: Iterable[str]) -> dict[str, set[str]]:
    """The fingerprints with which each job is finished in the store; each folder of it is listed once."""
    wanted, found = set(names), dict[str, set[str]]()
    for kind in {name.partition("/")[0] for name in wanted}:
        for folder in (store / kind).glob(f"*-{'[0-9a-f]' * SHORT}"):
            name = f"{kind}/{folder.name[: -SHORT - 1]}"
            print_ = made_as(folder) if name in wanted else None
            if print_:
                found.setdefault(name, set()).add(print_)
    return found


def _unknown(name: str, print_: str, like: Job | None) -> Job:
    """A job of which only the fingerprint is known: in all else it is shown as the one of its name is now."""
    if like is not None:
        return replace(like, fingerprint=print_)
    return Job(
        id=name, kind=name.partition("/")[0], backend="", what="", cell=None, inputs=(), output="", code=0, settings={},
        provenance={}, config=None, execution={}, resources={"gpus": 0}, environment="", cost={}, fingerprint=print_,
    )  # fmt: skip
