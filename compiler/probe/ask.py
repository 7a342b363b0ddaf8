"""What Slurm's own programs say of a cluster, as they print it."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from compiler.diagnostics import LetheError


class ProbeError(LetheError):
    """There is no Slurm that answers."""


@dataclass(frozen=True)
class Answers:
    """The output of each program. The last two are empty where there is no accounting."""

    nodes: str
    config: str
    associations: str
    qos: str


def ask() -> Answers:
    """Ask the Slurm of this machine. Raises ProbeError where there is none, or it does not answer."""
    user = getpass.getuser()
    account = ["sacctmgr", "--noheader", "--parsable2", "show"]
    return Answers(
        nodes=_output(["sinfo", "--noheader", "--format=%P|%l|%D|%c|%m|%G"]),
        config=_output(["scontrol", "show", "config"]),
        associations=_output_or_nothing([*account, "assoc", "where", f"user={user}", "format=Account,MaxJobs,MaxSubmit,QOS"]),
        qos=_output_or_nothing([*account, "qos", "format=Name,MaxWall,MaxTRESPU,MaxSubmitPU"]),
    )


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ProbeError(f"there is no {command[0]} here; run this on a login node of the cluster") from error
    if done.returncode:
        raise ProbeError(f"{' '.join(command)}: {' '.join(done.stderr.split()) or 'no answer'}; ask again when Slurm answers")
    return done.stdout


def _output_or_nothing(command: Sequence[str]) -> str:
    try:
        return _output(command)
    except ProbeError:
        return ""
