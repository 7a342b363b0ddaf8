"""Job `preflight`: whether this node's environment is what its lock says, and whether all of it imports.

It writes `installed.json`: the Python, what is installed of each locked package, and what is installed beside them.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.errors import JobError
from runtime.job import Job, write_json

PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?\s*==\s*(?P<version>[^\s;\\]+)", re.MULTILINE)
SHOWN = 10


def run(job: Job) -> Mapping[str, Any]:
    """Compare and import. Raises JobError that names everything that is not as the lock has it."""
    settings = job.config
    locked = _locked(settings["execution"]["files"], settings["lock"])
    found = installed()
    wrong = _wrong_python(settings["python"]) + differences(locked, found)
    _tell(job, settings["environment"], wrong)
    wrong = [*_unimportable(job, settings["imports"]), *(_no_gpu() if settings["gpu"] else [])]
    _tell(job, settings["environment"], wrong)
    beside = {name: version for name, version in sorted(found.items()) if name not in locked}
    facts = {"python": platform.python_version(), "packages": len(locked), "beside": len(beside), "host": platform.node()}
    here = {name: found[name] for name in sorted(locked)}
    write_json(job.out / "installed.json", {**facts, "locked": here, "beside": beside})
    return facts


def _tell(job: Job, environment: str, wrong: Sequence[str]) -> None:
    """Raise JobError where anything is wrong."""
    if wrong:
        more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        listed = "\n".join(f"  {line}" for line in [*wrong[:SHOWN], *more])
        raise JobError(
            f"{job.id}: {sys.prefix} is not environment {environment} as it is locked:\n{listed}\n"
            f"Build it again: lethe env build {environment}"
        )


def _locked(files: Sequence[str], digest: str) -> dict[str, str]:
    """The locked versions by package. Raises JobError for files that are not those the job was compiled for."""
    root = Path(os.environ.get("LETHE_ROOT", "."))
    try:
        texts = [(root / file).read_bytes() for file in files]
    except OSError as error:
        raise JobError(f"{error.filename}: cannot read this lock ({error.strerror})") from error
    if hashlib.sha256(b"".join(texts)).hexdigest() != digest:
        raise JobError(f"{', '.join(files)}: not the lock that this job was compiled for; compile the study again")
    return {normal(found["name"]): found["version"] for text in texts for found in PIN.finditer(text.decode(errors="replace"))}


def installed() -> dict[str, str]:
    """What is installed in this Python, by package."""
    found: dict[str, str] = {}
    for package in importlib.metadata.distributions():
        found.setdefault(normal(package.metadata["Name"]), package.version)  # the first on the path is the one that imports
    return found


def normal(name: str) -> str:
    """A package's name as all its spellings have it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def differences(locked: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Which locked packages are missing, or there in another version. A build of the same version (2.13.0+cpu) is the same."""
    lines = []
    for name, version in sorted(locked.items()):
        here = found.get(name)
        if here is None:
            lines.append(f"{name} {version} is not installed")
        elif here != version and here.partition("+")[0] != version:
            lines.append(f"{name} is {here}, and locked at {version}")
    return lines


def _wrong_python(wanted: str) -> list[str]:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    return [] if here == wanted else [f"Python is {platform.python_version()}, and locked at {wanted}"]


def _unimportable(job: Job, modules: Sequence[str]) -> list[str]:
    """What happens to modules that do not import. Whatever they raise is the environment's fault, and is told."""
    wrong = []
    for number, name in enumerate(modules):
        job.progress(number, len(modules), module=name)
        try:
            importlib.import_module(name)
        except Exception as error:  # a broken package may raise anything
            wrong.append(f"{name} does not import: {type(error).__name__}: {error}".splitlines()[0])
    job.progress(len(modules), len(modules))
    return wrong


def _no_gpu() -> list[str]:
    import torch

    return [] if torch.cuda.is_available() else ["PyTorch sees no GPU on this node, though the job has one"]
