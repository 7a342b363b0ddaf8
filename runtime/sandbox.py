"""Run untrusted programs outside the trainer's process, within limits on time, memory, files and sockets.

One runner process (`sandbox_runner.py`, plain `python -I -S`) takes a batch and forks a child for each program. A child
gives up the right to open files and sockets (RLIMIT_NOFILE), to write to files (RLIMIT_FSIZE) and to fork
(RLIMIT_NPROC, void for root), and has CPU seconds and bytes of its own. That is what POSIX limits give; it is no jail
against a determined attacker.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RUNNER = Path(__file__).with_name("sandbox_runner.py")
START_SECONDS = 30.0


@dataclass(frozen=True)
class Program:
    """A program's text and the expressions to evaluate after it has run."""

    source: str
    calls: tuple[str, ...]


@dataclass(frozen=True)
class Limits:
    """What one program may use: wall and CPU seconds, and MiB of address space beyond the interpreter's own."""

    seconds: int = 2
    mebibytes: int = 256


def run_programs(programs: Sequence[Program], limits: Limits = Limits()) -> list[tuple[str, ...] | None]:
    """The `repr` of every call of every program, in order; None for one that failed, timed out or broke a limit."""
    if not programs:
        return []
    distinct = list(dict.fromkeys(programs))
    results = _run_batch(distinct, limits)
    for program in distinct:
        # A program that killed the runner took its batch along: the others get a runner of their own.
        if program not in results and len(distinct) > 1:
            results |= _run_batch([program], limits)
    return [results.get(program) for program in programs]


def _run_batch(programs: Sequence[Program], limits: Limits) -> dict[Program, tuple[str, ...] | None]:
    request = json.dumps({"programs": [asdict(program) for program in programs], **asdict(limits)})
    answered = _call_runner(request, START_SECONDS + (limits.seconds + 1) * len(programs))
    return {
        program: None if answered[index] is None else tuple(answered[index] or ())
        for index, program in enumerate(programs)
        if index in answered
    }


def _call_runner(request: str, seconds: float) -> Mapping[int, list[str] | None]:
    command = [sys.executable, "-I", "-S", str(RUNNER)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={}
    ) as runner:
        try:
            output, _ = runner.communicate(request, timeout=seconds)
        except subprocess.TimeoutExpired:
            runner.kill()
            output, _ = runner.communicate()
    return dict(map(json.loads, _whole_lines(output)))


def _whole_lines(output: str) -> list[str]:
    return output.split("\n")[:-1]
