"""Run untrusted programs outside the trainer's process, within limits on time, memory, files, sockets and processes.

One runner process (`runner.py`, plain `python -I -S`) takes a batch and forks a child for each run. Each child is
tied down (`confine.py`): a list of system calls (seccomp) that has no file to open or remove, no socket, no signal, no
new process; CPU seconds and bytes of its own; nobody's rights where we are root; namespaces of its own, so no network, where
the kernel grants them. docs/domains.md says what that holds off, and what not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runtime.errors import JobError

RUNNER = Path(__file__).with_name("runner.py")
START_SECONDS = 30.0
WALL_SECONDS = 6  # for each CPU second and run, from outside; the runner itself waits for five
NEEDED = "calls"


@dataclass(frozen=True)
class Program:
    """A program's text and the expressions to evaluate after it has run; their `repr`s are its results."""

    source: str
    calls: tuple[str, ...]


@dataclass(frozen=True)
class Script:
    """A program that reads standard input; what it prints for each of the inputs, each run alone, are its results."""

    source: str
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Judged:
    """A program whose function `entry_point` is tested by `check` of the judge's text, in another process than its own.

    `head` is run before the judge: helpers that the tests use. The one result is "passed".
    """

    source: str
    head: str
    judge: str
    entry_point: str


Runnable = Program | Script | Judged
KINDS = {Program: "calls", Script: "inputs", Judged: "judged"}


@dataclass(frozen=True)
class Limits:
    """What one run may use: CPU seconds (and five times as many by the clock), and MiB of memory beyond the interpreter's
    own."""

    seconds: int = 2
    mebibytes: int = 256


def run_programs(programs: Sequence[Runnable], limits: Limits = Limits()) -> list[tuple[str, ...] | None]:
    """The results of every program, in order; None for one that failed, timed out or broke a limit.

    Raises JobError where this machine has no way to tie a program down.
    """
    if not programs:
        return []
    distinct = list(dict.fromkeys(programs))
    results = _run_batch(distinct, limits)
    for program in distinct:
        # A program that killed the runner took its batch along: the others get a runner of their own.
        if program not in results and len(distinct) > 1:
            results |= _run_batch([program], limits)
    return [results.get(program) for program in programs]


def find_isolation() -> tuple[str, ...]:
    """What holds programs on this machine: of "user" (nobody's rights), "namespaces" (no network) and "calls" (seccomp)."""
    held, _ = _call_runner(_request([], Limits()), START_SECONDS)
    return held


def _run_batch(programs: Sequence[Runnable], limits: Limits) -> dict[Runnable, tuple[str, ...] | None]:
    runs = sum(len(program.inputs) if isinstance(program, Script) else 1 for program in programs)
    held, answered = _call_runner(_request(programs, limits), START_SECONDS + (WALL_SECONDS * limits.seconds + 1) * runs)
    if NEEDED not in held:
        raise JobError(
            "sandbox: programs cannot be tied down on this machine (it needs Linux with seccomp, on x86-64 or arm64), so none "
            "is run; run this job elsewhere"
        )
    return {
        program: None if answered[index] is None else tuple(answered[index] or ())
        for index, program in enumerate(programs)
        if index in answered
    }


def _request(programs: Sequence[Runnable], limits: Limits) -> str:
    return json.dumps(
        {"programs": [{"kind": KINDS[type(program)], **asdict(program)} for program in programs], **asdict(limits)}
    )


def _call_runner(request: str, seconds: float) -> tuple[tuple[str, ...], Mapping[int, list[str] | None]]:
    """What held the programs, and the results by their places: those that came before the runner ended."""
    command = [sys.executable, "-I", "-S", str(RUNNER)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={}
    ) as runner:
        try:
            output, _ = runner.communicate(request, timeout=seconds)
        except subprocess.TimeoutExpired:
            runner.kill()
            output, _ = runner.communicate()
    lines: list[Any] = [json.loads(line) for line in output.split("\n")[:-1]]
    return (tuple(lines[0]["held"]) if lines else ()), dict(lines[1:])
