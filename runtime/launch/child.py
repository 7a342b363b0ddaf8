"""One command, run with the signals that reach this process passed on to it: `python -m runtime.launch.child COMMAND…`.

bash hears a signal only when the command in its foreground has ended, and then tells it nothing. So a job's script is replaced
by this process (`exec`), and what Slurm tells the script reaches the command. It runs in the same process group.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from runtime.errors import JobError

Process = subprocess.Popen[bytes]
Waiting = subprocess.TimeoutExpired
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# srun makes a SIGKILL of each of these; and Slurm, when it ends a job, tells the steps' tasks by itself.
NOT_TO_SRUN = frozenset({signal.SIGTERM, signal.SIGHUP})


@dataclass(frozen=True)
class Ending:
    """How a command ended: its exit code as a shell gives it, and the first signal that came meanwhile."""

    code: int
    told: signal.Signals | None


@dataclass
class Ear:
    """The signals that have come, and the process that is told of them from then on; a new one is told of the earlier ones."""

    heard: list[signal.Signals] = field(default_factory=list)
    process: Process | None = None

    def first(self) -> signal.Signals | None:
        """The first signal, if any came."""
        return self.heard[0] if self.heard else None

    def lend_to(self, process: Process) -> None:
        """From now on, tell `process`."""
        self.process = process
        for number in tuple(self.heard):
            pass_on(process, number)

    def hear(self, number: int, frame: FrameType | None) -> None:
        """A handler of signals."""
        self.heard.append(signal.Signals(number))
        if self.process is not None:
            pass_on(self.process, signal.Signals(number))


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Ending:
    """Run `command` to its end. Raises JobError where there is no such program."""
    with listening() as ear:
        process = start(command, environment)
        ear.lend_to(process)
        code = process.wait()
    return Ending(exit_code(code), ear.first())


def start(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Process:
    """Start `command`. Raises JobError where there is no such program."""
    if not command:
        raise JobError("there is no command to run")
    try:
        return subprocess.Popen(command, env=environment)
    except OSError as error:
        raise JobError(f"{command[0]}: cannot be started ({error.strerror}); is it installed in {sys.prefix}?") from error


def end(process: Process, number: signal.Signals, seconds: float) -> int:
    """Ask a process to end, and after `seconds` make it; returns its exit code."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    return exit_code(process.wait())


def exit_code(code: int) -> int:
    """An exit code as a shell gives it: 128 and more after a signal."""
    return code if code >= 0 else 128 - code


def pass_on(process: Process, number: signal.Signals) -> None:
    """Send a signal to a command, unless it is srun and would take it for the order to kill its tasks."""
    if not (is_srun(process) and number in NOT_TO_SRUN):
        process.send_signal(number)


def is_srun(process: Process) -> bool:
    """Whether a process is Slurm's srun."""
    arguments = process.args
    first = arguments[0] if isinstance(arguments, list | tuple) else arguments
    return Path(str(first)).name == "srun"


@contextmanager
def listening() -> Iterator[Ear]:
    """While inside, signals reach the ear that is given, and through it a process."""
    ear = Ear()
    before = {number: signal.signal(number, ear.hear) for number in PASSED_ON}
    try:
        yield ear
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(argv: Sequence[str]) -> int:
    """Run the command; end as it ended."""
    try:
        return run(argv).code
    except JobError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
