"""Run a study's scripts on this machine, in dependency order, as many at a time as there are cores.

submit_all.sh hands over a list of what is not done: lines of job, fingerprint, the unfinished jobs that must succeed
before it, those that must only end, and the steps whose checkpoints it must keep, divided by tabs, what is in one field by
blanks. A job that fails takes along those that need it; all others go on.

Variables: LETHE_JOBS, how many scripts run at a time; LETHE_COLD=1, no warm process.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from runtime.errors import JobError
from runtime.local.display import Display, clock, status_line
from runtime.store import ledger, markers, steps

SECONDS_BETWEEN_LOOKS = 0.02
SECONDS_BETWEEN_STATUS = 0.25
SECONDS_BETWEEN_LINES = 60.0  # the same in a log
SECONDS_OF_GRACE = 20.0  # from SIGTERM to SIGKILL: enough to save the checkpoint of a miniature
LINES_OF_LOG = 12
BYTES_OF_LOG = 16_384
MEANING = {
    3: "some results are missing",
    65: "an input is missing or not what it was compiled against",
    70: "a bug of ours",
    75: "ended early; it goes on from its checkpoint when run again",
    127: "a command was not found",
}


@dataclass(frozen=True)
class Task:
    """One script to run, and what has to happen before it."""

    job: str
    fingerprint: str
    after: tuple[str, ...]
    ended: tuple[str, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """Where a study is run: its name, its generated folder, the store."""

    study: str
    generated: Path
    store: Path

    @property
    def root(self) -> Path:
        """The folder that holds `generated/` and `runtime/`."""
        return self.generated.parent.parent

    def log(self, job: str) -> Path:
        """Where the output of a job goes."""
        return self.store / "logs" / self.study / f"{job.replace('/', '.')}.out"

    def out(self, task: Task) -> Path:
        """The folder of the artifact that a job makes."""
        return self.store / f"{task.job}-{task.fingerprint[:12]}"


@dataclass(frozen=True)
class Running:
    """A script under way. `log_from` is the byte where its log begins; the times are the monotonic and the wall clock's."""

    task: Task
    process: subprocess.Popen[bytes]
    since: float
    started: float
    log_from: int


# ---- what may run ---------------------------------------------------------------------------------------------------


def read_tasks(path: Path) -> list[Task]:
    """Return the tasks that submit_all.sh listed. Raises JobError for a line that is none."""
    tasks = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split("\t")
        if len(fields) != 5:
            raise JobError(f"{path}:{number}: expected job, fingerprint, after, ended and steps, divided by tabs")
        after, ended, kept = (field.split() for field in fields[2:])
        tasks.append(Task(fields[0], fields[1], tuple(after), tuple(ended), tuple(map(int, kept))))
    return tasks


def verdict(task: Task, ends: Mapping[str, str]) -> str:
    """Return "run", "wait" or "skip" for a task, given how other jobs ended: done, failed or skipped."""
    if any(ends.get(parent) in ("failed", "skipped") for parent in task.after):
        return "skip"
    ready = all(ends.get(parent) == "done" for parent in task.after) and all(parent in ends for parent in task.ended)
    return "run" if ready else "wait"


def jobs_at_a_time(environment: Mapping[str, str]) -> int:
    """Return LETHE_JOBS, or how many cores this process may use. Raises JobError for a LETHE_JOBS that is no number."""
    asked = environment.get("LETHE_JOBS")
    if asked is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not asked.isdecimal() or int(asked) == 0:
        raise JobError(f"LETHE_JOBS is '{asked}'; it must be how many jobs run at a time, such as 4")
    return int(asked)


# ---- running it -----------------------------------------------------------------------------------------------------


@dataclass
class _Stop:
    """How often we were asked to stop. A handler counts, and the loop looks, so that no script is lost half-started."""

    asked: int = 0

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Count one request (a signal handler)."""
        self.asked += 1


@dataclass
class _Run:
    """The state of one run of the plan: what waits, what is under way, how the rest ended."""

    place: Place
    slots: int
    display: Display
    environment: Mapping[str, str]
    waiting: list[Task]
    done_before: int
    under_way: list[Running] = field(default_factory=list)
    ends: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.done_before + len(self.waiting) + len(self.under_way) + len(self.ends)

    @property
    def done(self) -> int:
        return self.done_before + self.count("done")

    def count(self, end: str) -> int:
        return sum(value == end for value in self.ends.values())


def execute(listed: Path, study: str, generated: Path, store: Path, done: int) -> int:
    """Run the listed jobs; `done` more of the plan were done before.

    Returns 0 when all succeeded, 1 when one failed, 130 when stopped by a signal.
    """
    place = Place(study, generated.absolute(), store.absolute())
    tasks, slots, display = read_tasks(listed), jobs_at_a_time(os.environ), Display()
    place.log("x").parent.mkdir(parents=True, exist_ok=True)
    with _only_one(place), _warm(place, display) as warm, _stop_signals() as stop:
        environment = {**os.environ, "LETHE_ROOT": str(place.root), "LETHE_STORE": str(place.store), **warm}
        state = _Run(place, slots, display, environment, tasks, done)
        start = time.monotonic()
        _work_off(state, stop, start)
        if stop.asked:
            return _end_all(state, stop)
    return _conclude(state, time.monotonic() - start)


def _work_off(state: _Run, stop: _Stop, start: float) -> None:
    shown = start
    while (state.waiting or state.under_way) and not stop.asked:
        _collect(state)
        _start_ready(state)
        now = time.monotonic()
        if now - shown > (SECONDS_BETWEEN_STATUS if state.display.live else SECONDS_BETWEEN_LINES):
            shown = now
            state.display.status(_status(state, now - start))
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _status(state: _Run, seconds: float) -> str:
    running = [(item.task.job, _part_done(state.place.out(item.task), item.started)) for item in state.under_way]
    return status_line(state.done, state.total, state.count("failed"), seconds, running)


def _start_ready(state: _Run) -> None:
    for task in list(state.waiting):
        match verdict(task, state.ends):
            case "skip":
                state.waiting.remove(task)
                state.ends[task.job] = "skipped"
            case "run" if len(state.under_way) < state.slots:
                state.waiting.remove(task)
                state.under_way.append(_start(state, task))


def _start(state: _Run, task: Task) -> Running:
    path = state.place.log(task.job)
    script = state.place.generated / "jobs" / f"{task.job}.sh"
    since, started = time.monotonic(), time.time()
    with path.open("ab") as log:
        offset = log.tell()
        process = subprocess.Popen(
            ["bash", str(script)],
            cwd=state.place.root,
            env=state.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _note(state, task, "started", process.pid)
    return Running(task, process, since, started, offset)


def _note(state: _Run, task: Task, event: str, number: int, note: str = "") -> None:
    path = ledger.path_of(state.place.store, state.place.study)
    ledger.append(path, event, task.job, task.fingerprint, number, note)


def _collect(state: _Run) -> None:
    """Settle every script that has ended."""
    for item in list(state.under_way):
        code = item.process.poll()
        if code is None:
            continue
        state.under_way.remove(item)
        why = _why_failed(code, state.place.out(item.task), item.task)
        end = "failed" if why else "done"
        state.ends[item.task.job] = end
        _note(state, item.task, end, item.process.pid, why)
        if why:
            _show_failure(state, item, why)
        elif not state.display.live:
            taken = clock(time.monotonic() - item.since)
            state.display.line(f"{state.done}/{state.total} {item.task.job}: done in {taken}")


def _why_failed(code: int, out: Path, task: Task) -> str:
    """Return why a script that ended with `code` did not do its job; empty when it did."""
    if code == 0:
        if not markers.is_done(out, task.fingerprint):
            return f"exit code 0, but no done-marker in {out}"
        missing = steps.missing_in(out, task.steps)
        return f"exit code 0, but no checkpoint of step {', '.join(map(str, missing))} in {out}" if missing else ""
    number = -code if code < 0 else code - 128
    if number in set(signal.Signals):
        name = signal.Signals(number).name
        return f"ended by {name}" + (" (out of memory?)" if number == signal.SIGKILL else "")
    return f"exit code {code}" + (f": {MEANING[code]}" if code in MEANING else "")


def _show_failure(state: _Run, item: Running, why: str) -> None:
    path = state.place.log(item.task.job)
    state.display.line(f"failed: {item.task.job}: {why}", "red")
    for line in _last_lines(path, item.log_from):
        state.display.line(f"    {line}")
    state.display.line(f"    log: {path}")


def _last_lines(path: Path, start: int) -> list[str]:
    """Return the last few lines of a log, from byte `start` on."""
    with path.open("rb") as log:
        log.seek(max(start, path.stat().st_size - BYTES_OF_LOG))
        return log.read().decode(errors="replace").splitlines()[-LINES_OF_LOG:]


def _part_done(out: Path, since: float) -> float | None:
    """Return how far a job says it is, 0 to 1; None when it has not said so since it was started."""
    path = out / "PROGRESS.json"
    try:
        if path.stat().st_mtime < since:
            return None
        progress = json.loads(path.read_text(encoding="utf-8"))
        return float(progress["done"] / progress["total"])
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return None


def _conclude(state: _Run, seconds: float) -> int:
    if state.count("failed") == 0:
        state.display.line(f"{state.place.study}: all {state.total} jobs are done, in {clock(seconds)}", "green")
        return 0
    state.display.line(
        f"{state.place.study}: {state.done} of {state.total} jobs are done, {state.count('failed')} failed, "
        f"{state.count('skipped')} skipped because they need one that failed. "
        "Mend the cause, then run submit_all.sh again: what is done stays done.",
        "red",
    )
    return 1


# ---- stopping, locking, keeping warm --------------------------------------------------------------------------------


def _end_all(state: _Run, stop: _Stop) -> int:
    """End every script under way, by force after a while or when asked again, and say how to go on."""
    for item in state.under_way:
        _signal(item, signal.SIGTERM)
    end = time.monotonic() + SECONDS_OF_GRACE
    while any(item.process.poll() is None for item in state.under_way) and stop.asked < 2 and time.monotonic() < end:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    for item in state.under_way:
        _signal(item, signal.SIGKILL)
        item.process.wait()
        _note(state, item.task, "failed", item.process.pid, "stopped by its user")
    state.display.line(f"stopped; {state.done} of {state.total} jobs are done. Run submit_all.sh again to go on from here.")
    return 130


def _signal(item: Running, number: int) -> None:
    try:
        os.killpg(item.process.pid, number)
    except ProcessLookupError:
        return


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    """While inside, SIGINT (Ctrl-C), SIGTERM and SIGHUP ask for a stop."""
    stop = _Stop()
    before = {number: signal.signal(number, stop.ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _only_one(place: Place) -> Iterator[None]:
    """Hold the study's lock in this store. Raises JobError while another process runs the same study."""
    path = place.store / "ledger" / f"{place.study}.local.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JobError(f"{place.study} is being run in {place.store} right now; wait for it, or stop it") from error
        yield


@contextmanager
def _warm(place: Place, display: Display) -> Iterator[Mapping[str, str]]:
    """Start the warm process; give the environment that leads jobs to it. End it, and whoever it runs, on leaving."""
    if os.environ.get("LETHE_COLD") == "1":
        yield {}
        return
    with (
        tempfile.TemporaryDirectory(prefix="lethe-", dir=_short_folder()) as folder,
        place.log("warm").open("ab") as log,
    ):
        address = f"{folder}/warm"
        command = [sys.executable, "-m", "runtime", "warm", address]
        pipe = subprocess.PIPE
        server = subprocess.Popen(command, cwd=place.root, stdin=pipe, stdout=pipe, stderr=log, start_new_session=True)
        with server:
            ready = server.stdout is not None and server.stdout.readline() == b"ready\n"
            if not ready:
                display.line(f"the warm process did not start, so every job starts cold (log: {place.log('warm')})")
            yield {"LETHE_WARM": address} if ready else {}


def _short_folder() -> str | None:
    """Return where the socket's folder must lie, as its path may have some 100 bytes only; None for the usual place."""
    return "/tmp" if len(tempfile.gettempdir()) > 60 else None
