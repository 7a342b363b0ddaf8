"""What Slurm says of a study's jobs: one question to squeue, and one to sacct for what squeue does not tell."""

from __future__ import annotations

import getpass
import pwd
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from runtime.operations.status.study import Study
from runtime.store import ledger

RUNNING = ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
PENDING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD")
LIVE = (*RUNNING, *PENDING)
IDS_A_CALL = 5000  # of sacct; far below what one argument of a command may hold
_LINK = re.compile(r"(?<=\.[0-9a-f]{8})\.\d+$")  # at the end of a job's name, of one of its links
_ELEMENTS = re.compile(r"(\d+)_\[([0-9,-]+)(?:%\d+)?\]")


@dataclass(frozen=True)
class Seen:
    """What Slurm says of one job: its id (123, or 123_4 for an element of an array), state, reason, and exit code (1:0).

    `links` are the ids of its other links that run or will.
    """

    id: str
    state: str
    reason: str = ""
    exit: str = ""
    links: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """Whether it runs or will."""
        return self.state in LIVE


@dataclass(frozen=True)
class Known:
    """What Slurm knows: by job id of the plan. `sources` are the programs that answered, `notes` what is to be said of that;
    `feeder` is the id of the small job that submits the rest of the study when there is room.
    """

    seen: Mapping[str, Seen]
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()
    feeder: str = ""


def order(number: str) -> tuple[int, int]:
    """Sorts ids by age: 9 before 10, 123_4 before 123_10. Anything else comes first."""
    found = re.fullmatch(r"(\d+)(?:_(\d+))?", number)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def elements(number: str) -> list[str]:
    """The ids that one of squeue's or sacct's stands for: 7_[1-3,9%2] is 7_1, 7_2, 7_3 and 7_9."""
    found = _ELEMENTS.fullmatch(number)
    if found is None:
        return [number]
    parts = [part.partition("-") for part in found[2].split(",") if part]
    return [f"{found[1]}_{i}" for first, _, last in parts for i in range(int(first), int(last or first) + 1)]


def ask(study: Study, done: Collection[str]) -> Known:
    """What Slurm knows of the jobs that are not done."""
    rows, note = _squeue(_users(study))
    seen = _ours(study, rows or ())
    ids = {number: job for job in study.by_id if job not in done and (number := _unsure(study, job, seen.get(job)))}
    told = _sacct(ids)
    for number, answer in (told or {}).items():
        job = ids[number]
        seen[job] = replace(seen[job], exit=answer.exit) if job in seen else answer
    answered = {"squeue": rows is not None, "sacct": told is not None}
    sources = tuple(name for name, has in answered.items() if has)
    return Known(seen, sources, (note,) if note else (), _feeder(study, rows or ()))


def _feeder(study: Study, rows: Iterable[Sequence[str]]) -> str:
    """The id of the job of submit_all.sh --feed; "" where there is none."""
    found = [row[0] for row in rows if (row[1], row[4]) == (f"{study.name}.feed", str(study.store)) and row[2] in LIVE]
    return max(found, key=order, default="")


def _unsure(study: Study, job: str, seen: Seen | None) -> str:
    """The id to ask accounting for: of a job that has ended, or that squeue has not; else ""."""
    if seen is not None:
        return "" if seen.live else seen.id
    entry = study.entry(study.by_id[job])
    return entry.id if entry else ""


def _users(study: Study) -> str:
    """Whose jobs may be this study's: ours, and those of whoever submitted into this store, as the ledger's notes say."""
    noted = {entry.note for entry in study.entries if entry.event == "submitted" and entry.note}
    me = getpass.getuser()
    return ",".join([me, *sorted(name for name in noted if name != me and _is_user(name))])


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _squeue(users: str) -> tuple[list[list[str]] | None, str]:
    """The rows of squeue (id, name, state, reason, comment), or None with the reason why there are none."""
    command = ["squeue", "--noheader", "--array", "--states=all", f"--user={users}", "--format=%i|%j|%T|%r|%k"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None, "there is no squeue here; ask for the status on a machine of the cluster"
    if result.returncode:
        said = " ".join(result.stderr.split())
        return None, f"squeue could not be asked: {said}"
    rows = [line.split("|", 4) for line in result.stdout.splitlines()]
    return [row for row in rows if len(row) == 5], ""


def _ours(study: Study, rows: Iterable[Sequence[str]]) -> dict[str, Seen]:
    """The newest that squeue knows of each job, or that of its links which runs: by the id in the ledger, or by name, in this
    store."""
    by_number = {e.id: ledger.job_of(e) for e in study.entries if e.id and _is_planned(study, ledger.job_of(e), e.fingerprint)}
    by_name = {study.slurm_name(job): job["id"] for job in study.jobs}
    found: dict[str, Seen] = {}
    live: dict[str, list[str]] = {}
    for shown, name, state, reason, comment in rows:
        for number in elements(shown):
            job = by_number.get(number) or (by_name.get(_LINK.sub("", name)) if comment == str(study.store) else None)
            seen = Seen(number, state, reason)
            if job and (job not in found or _rank(found[job]) < _rank(seen)):
                found[job] = seen
            if job and seen.live:
                live.setdefault(job, []).append(number)
    return {job: replace(seen, links=tuple(n for n in live.get(job, ()) if n != seen.id)) for job, seen in found.items()}


def _rank(seen: Seen) -> tuple[bool, tuple[int, int]]:
    return seen.state in RUNNING, order(seen.id)


def _is_planned(study: Study, job: str, fingerprint: str) -> bool:
    return job in study.by_id and study.by_id[job]["fingerprint"] == fingerprint


def _sacct(ids: Collection[str]) -> dict[str, Seen] | None:
    """What accounting remembers of these ids; None where there is no accounting."""
    if not ids or shutil.which("sacct") is None:
        return None
    found: dict[str, Seen] = {}
    asked = sorted(ids, key=order)
    for first in range(0, len(asked), IDS_A_CALL):
        some = ",".join(asked[first : first + IDS_A_CALL])
        command = ["sacct", "-X", "-n", "-P", "-j", some, "-o", "JobID,State,ExitCode"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            return None
        for row in (line.split("|") for line in result.stdout.splitlines()):
            for number in elements(row[0]) if len(row) == 3 else ():
                if number in ids:
                    state, _, reason = row[1].partition(" ")  # CANCELLED by 1001
                    found[number] = Seen(number, state, reason, row[2])
    return found
