"""Attempts: every start of a job leaves a folder `attempts/N/` in its artifact, and `attempts/latest` leads to the last.

    attempts/N/attempt.json   {"lethe": 1, "job", "fingerprint", "number", "host", "slurm", "restarts", "started", "began",
                               "before", "marked", "ended", "exit_code", "why"}; the last three are null until it ends, and for
                               ever if it is killed
    attempts/N/metrics.jsonl  what VeRL logged (runtime/verl/log.py)
    attempts/N/RAN            the mark of a command that ran to a good end, where one is asked for

A launcher may end with 0 although what it was to launch never ran (Ray's does, when Ray does not start). So a command can be
asked to leave a mark of its own (`python -m runtime.launch.marked COMMAND…`), without which there is no done-marker.

A job that stopped before its planned end leaves `TRUNCATED.json`, which the next attempt removes. Whoever reads its artifact is
refused: half a training is no result.

Only Slurm starts a job again by itself (after preemption, a failed node, or a stop before the time limit), and only so often as
LETHE_ATTEMPTS says; people may run it as often as they like. Where Slurm may not, a training goes in as links, one behind the
other, and LETHE_LINK says which this is, as in 2/3: it goes on from what the one before left, unless that one failed.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from runtime.errors import EndedEarly, FailedBefore, InputError, JobError
from runtime.job import write_json
from runtime.store import markers

LINK = "LETHE_LINK"
FOLDER, LATEST, RECORD, RAN = "attempts", "latest", "attempt.json", "RAN"
TRUNCATED = "TRUNCATED.json"


@dataclass(frozen=True)
class Attempt:
    """One start of a job. `slurm` is Slurm's id of it, `restarts` how often Slurm has started it again before.

    `began` is in seconds since 1970; `before` are the seconds that count of earlier attempts: up to what this one goes on from.
    """

    job: str
    fingerprint: str
    number: int
    host: str
    slurm: str | None
    restarts: int
    started: str
    began: float
    before: float = 0.0
    marked: bool = False
    ended: str | None = None
    exit_code: int | None = None
    why: str | None = None

    @property
    def seconds(self) -> float:
        """The wall time of this attempt and of what counts of the earlier ones."""
        return round(self.before + max(0.0, time.time() - self.began), 3)


def begin(
    out: Path, job: str, fingerprint: str, environment: Mapping[str, str], *, saved: float | None = None, marked: bool = False
) -> Attempt:
    """Note that a job starts in the folder `out`.

    `saved` is when an earlier attempt saved what this one goes on from (seconds since 1970): up to there its time counts. With
    `marked`, the job's command must leave its mark.
    Raises InputError when `out` has attempts at another fingerprint, JobError when Slurm has started the job often enough,
    FailedBefore when this is a link of it and the link before failed.
    """
    before = latest(out)
    if before and before.fingerprint != fingerprint:
        raise InputError(
            f"{out} holds attempts at fingerprint {before.fingerprint[:12]}, not {fingerprint[:12]}; move that folder away"
        )
    restarts, most = int(environment.get("SLURM_RESTART_COUNT") or 0), environment.get("LETHE_ATTEMPTS")
    if most and restarts >= int(most):
        raise JobError(f"{job}: Slurm has started it {restarts + 1} times and may {most} times; see {out / FOLDER}/*/{RECORD}")
    link, count = link_of(environment)
    if before and link > 1 and before.exit_code not in (None, 0, EndedEarly.exit_code):
        raise FailedBefore(
            f"{job}: link {link} of {count} does not start, as the one before failed: {before.why}; mend it and submit again",
            before.exit_code,
        )
    number = before.number + 1 if before else 1
    counts = before.before + max(0.0, saved - before.began) if before and saved is not None else 0.0
    attempt = Attempt(
        job, fingerprint, number, socket.gethostname(), environment.get("SLURM_JOB_ID"), restarts, markers.now(),
        began=time.time(), before=round(counts, 3), marked=marked,
    )  # fmt: skip
    _write(out, attempt)
    _point(out / FOLDER / LATEST, str(number))
    (out / TRUNCATED).unlink(missing_ok=True)
    return attempt


def link_of(environment: Mapping[str, str]) -> tuple[int, int]:
    """Which link of how many this is: (1, 1) where a job is one alone."""
    link, _, count = environment.get(LINK, "1/1").partition("/")
    return int(link), int(count)


def end(out: Path, exit_code: int, why: str) -> None:
    """Note how the latest attempt ended."""
    attempt = latest(out)
    if attempt:
        _write(out, replace(attempt, ended=markers.now(), exit_code=exit_code, why=why))


def mark(out: Path) -> None:
    """Note that the command of the attempt under way has run to a good end."""
    if latest(out) is None:
        raise JobError(f"{out}: no attempt was begun here; call `python -m runtime begin` first")
    (out / FOLDER / LATEST / RAN).touch()


def check(job: str, out: Path) -> None:
    """Raise JobError where the command that must leave its mark has left none in this attempt."""
    current = latest(out)
    if current is not None and current.marked and not (out / FOLDER / LATEST / RAN).exists():
        raise JobError(
            f"{job}: what was to be launched never ran to its end (it left no mark in {out / FOLDER / LATEST}), although the "
            "launcher ended with 0; see its messages above"
        )


def latest(out: Path) -> Attempt | None:
    """The last attempt in the folder `out`; None where there is none that can be read."""
    try:
        fields = json.loads((out / FOLDER / LATEST / RECORD).read_text(encoding="utf-8"))
        del fields["lethe"]
        return Attempt(**fields)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def folders(out: Path) -> list[Path]:
    """The folders of all attempts, from the first to the last."""
    return sorted((folder for folder in (out / FOLDER).glob("[0-9]*")), key=lambda folder: int(folder.name))


def folder_of_latest(out: Path) -> Path:
    """The folder of the attempt under way, by its own number: the link leads elsewhere once there is another one."""
    return (out / FOLDER / LATEST).resolve()


def truncate(out: Path, job: str, fingerprint: str, error: EndedEarly) -> None:
    """Mark what a job left as shorter than planned. `error` says where it stopped."""
    write_json(
        out / TRUNCATED,
        {"lethe": 1, "job": job, "fingerprint": fingerprint, "done": error.done, "total": error.total, "why": str(error)},
    )


def truncated(folder: Path) -> Mapping[str, Any] | None:
    """What the mark says; None where there is none that can be read."""
    try:
        found = json.loads((folder / TRUNCATED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write(out: Path, attempt: Attempt) -> None:
    folder = out / FOLDER / str(attempt.number)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD, {"lethe": 1, **asdict(attempt)})


def _point(link: Path, target: str) -> None:
    """Let `link` lead to `target`, at no moment to nothing."""
    part = link.with_name(f".{link.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    part.replace(link)
