"""A study's job scripts, read as sbatch and bash would before anything runs: directives, and syntax.

sbatch reads `#SBATCH` lines up to the first command; it refuses an option that it does not know, a time that is none, a
script without `#!`, and passes over directives after the first command without a word (sbatch's manual page; Slurm 22.05).
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

TIME = re.compile(r"(\d+-\d+(:\d+){0,2}|\d+(:\d+){0,2}|infinite|unlimited)", re.IGNORECASE)
OPTIONS_OF_SBATCH = """
    account acctg-freq array batch bb bbf begin chdir cluster-constraint clusters comment constraint container
    contiguous core-spec cores-per-socket cpu-freq cpus-per-gpu cpus-per-task deadline delay-boot dependency distribution
    error exclude exclusive export export-file extra-node-info get-user-env gid gpu-bind gpu-freq gpus gpus-per-node
    gpus-per-socket gpus-per-task gres gres-flags hint hold ignore-pbs input job-name kill-on-invalid-dep licenses mail-type
    mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nice no-kill no-requeue nodefile nodelist nodes
    ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket open-mode output overcommit oversubscribe
    partition power prefer priority profile propagate qos quiet reboot requeue reservation signal sockets-per-node spread-job
    switches test-only thread-spec threads-per-core time time-min tmp tres-per-task uid use-min-nodes verbose wait
    wait-all-nodes wckey
"""


@dataclass(frozen=True)
class Script:
    """A job's script: its path, and its directives by option, the last of each."""

    path: Path
    options: dict[str, str]

    @property
    def requeues(self) -> bool:
        """Whether Slurm runs it again after a preemption or the failure of a node."""
        return "requeue" in self.options


def read(path: Path) -> tuple[Script, list[str]]:
    """A script, and what is wrong with it, as lines that name the place."""
    lines = path.read_text(encoding="utf-8").splitlines()
    options: dict[str, str] = {}
    problems = [] if lines and lines[0].startswith("#!") else [f"{path}:1: sbatch refuses a script without #!"]
    for number, line in _directives(lines):
        try:
            options |= dict(_options(line))
        except ValueError as error:
            problems.append(f"{path}:{number}: sbatch refuses this directive: {error}")
    late = [f"{path}:{number}: sbatch does not read a directive after the first command" for number in _late(lines)]
    return Script(path, options), [*problems, *late, *_syntax(path)]


def _directives(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, start=1):
        if line.startswith("#SBATCH"):
            yield number, line.removeprefix("#SBATCH")
        elif line.strip() and not line.startswith("#"):
            return


def _late(lines: list[str]) -> list[int]:
    read_by_sbatch = {number for number, _ in _directives(lines)}
    return [n for n, line in enumerate(lines, start=1) if line.startswith("#SBATCH") and n not in read_by_sbatch]


def _options(line: str) -> Iterator[tuple[str, str]]:
    """The options of one directive. Raises ValueError with what sbatch would not take."""
    for word in shlex.split(line, comments=True):
        name, _, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in OPTIONS_OF_SBATCH.split():
            raise ValueError(f"unknown option {word}")
        if name == "time" and not TIME.fullmatch(value):
            raise ValueError(f"no time: {value}")
        yield name, value


def _syntax(path: Path) -> list[str]:
    """What `bash -n` says of it."""
    checked = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    return checked.stderr.splitlines() if checked.returncode else []
