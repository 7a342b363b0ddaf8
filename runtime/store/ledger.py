"""The ledger: what was submitted or started, when, as an append-only table, `$LETHE_STORE/ledger/STUDY.tsv`.

One event a line, six columns divided by tabs, no heading:

    time         UTC, ISO 8601, whole seconds
    event        under Slurm: intent (about to call sbatch), submitted, updated (new dependency), released (from hold),
                 cancelled; on this machine: started, done, failed
    job          its id in the plan; JOB+1, JOB+2, … for the links of a job before its last
    fingerprint  64 hexadecimal digits
    id           Slurm's job id (123, or 123_4 in an array), or the process id of a job on this machine; empty for an intent
    note         why it failed or was cancelled; who submitted it; with an array element's intent, its name: STUDY.ARRAY_INDEX

Lines are appended whole and synced; submit.sh writes the same lines. A line cut off by a crash is skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from runtime.store import markers

COLUMNS = 6


@dataclass(frozen=True)
class Entry:
    """One line of the ledger."""

    time: str
    event: str
    job: str
    fingerprint: str
    id: str
    note: str


def path_of(store: Path, study: str) -> Path:
    """Return where the ledger of a study lies."""
    return store / "ledger" / f"{study}.tsv"


def read(path: Path) -> list[Entry]:
    """Return the ledger's whole lines, oldest first; none where there is no ledger yet."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    rows = [line.split("\t") for line in text.splitlines()]
    return [Entry(*row) for row in rows if len(row) == COLUMNS]


def latest(entries: Iterable[Entry]) -> dict[tuple[str, str], Entry]:
    """Return the last entry that has an id, by job and fingerprint."""
    return {(entry.job, entry.fingerprint): entry for entry in entries if entry.id}


def job_of(entry: Entry) -> str:
    """The job's id in the plan, where the entry is of one of its links, too."""
    return entry.job.partition("+")[0]


def append(path: Path, event: str, job: str, fingerprint: str, number: int | str, note: str = "") -> None:
    """Add one line and wait until it is on disk. Tabs and line breaks in `note` become blanks."""
    line = "\t".join([markers.now(), event, job, fingerprint, str(number), " ".join(note.split())]) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(file, _mend(file) + line.encode())
        os.fsync(file)
    finally:
        os.close(file)


def _mend(file: int) -> bytes:
    """Return the line break that a crash kept from the last line, if it lacks one."""
    size = os.fstat(file).st_size
    return b"\n" if size and os.pread(file, 1, size - 1) != b"\n" else b""
