"""A server beside a job: started, waited for until it is healthy, and ended with the job, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from runtime.errors import JobError
from runtime.launch import child

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
LOOK = 0.2  # seconds between two looks
TAIL = 15  # lines of its log that a message shows
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy stands between a node and itself


@contextmanager
def serving(command: Sequence[str], health: str, log: Path, *, patience: float, grace: float) -> Iterator[child.Process]:
    """While inside, a server answers at the address `health`; what it says is appended to `log`.

    It has `patience` seconds to become healthy and, told to end, `grace` seconds before it is killed with all that it started.
    A signal that would end this process ends the server first. Raises JobError when it ends early or does not become healthy.
    """
    if _healthy(health):
        raise JobError(f"something else answers at {health} already: another job on this node, or a server that one left")
    with _stops_raised():
        process = _start(command, log)
        try:
            _wait_until_healthy(process, health, log, patience)
            yield process
        finally:
            _end(process, grace)


def check_alive(process: child.Process, log: Path, patience: float = 0.0) -> None:
    """Raise JobError, with the end of its log, when the server has ended, or does within so many seconds."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    if process.poll() is not None:
        code = child.exit_code(process.wait())
        raise JobError(f"the server ended with {code}. The end of {log}:\n{_tail(log)}")


def _start(command: Sequence[str], log: Path) -> child.Process:
    """The server, in a process group of its own, so that whatever it starts can be ended with it."""
    with log.open("ab") as written:
        try:
            return subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            raise JobError(f"{command[0]}: cannot be started ({error.strerror}); is it installed here?") from error


def _wait_until_healthy(process: child.Process, health: str, log: Path, patience: float) -> None:
    end = time.monotonic() + patience
    while not _healthy(health):
        check_alive(process, log)
        if time.monotonic() > end:
            raise JobError(f"the server was not healthy within {patience:g} seconds. The end of {log}:\n{_tail(log)}")
        time.sleep(LOOK)


def _healthy(address: str) -> bool:
    try:
        with DIRECT.open(address, timeout=2.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _end(process: child.Process, grace: float) -> None:
    """End the server and what it started: asked first, killed after `grace` seconds."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)  # the last thing that is done here
    _tell(process, signal.SIGTERM)
    with suppress(child.Waiting):
        process.wait(grace)
    _tell(process, signal.SIGKILL)
    process.wait()


def _tell(process: child.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


@contextmanager
def _stops_raised() -> Iterator[None]:
    """While inside, a signal that would end this process at once unwinds it first."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, stop) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-TAIL:]) or "(it is empty)"
