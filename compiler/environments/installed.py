"""What is installed in a folder, beside what a lock says; and installing a lock into one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from compiler.diagnostics import Position, TreeError
from compiler.environments.compatibility import broken
from compiler.environments.locks import Lock, Pinned

ASK = """\
import importlib.metadata, json, platform
found = {}
for package in importlib.metadata.distributions():
    found.setdefault(package.metadata["Name"], package.version)
print(json.dumps({"python": platform.python_version(), "packages": found}))
"""
FROM_PIP = ("install", "--disable-pip-version-check", "--no-input")


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it is locked; None where there is nothing."""

    package: str
    locked: str | None
    installed: str | None
    why: str = ""

    def told(self) -> str:
        """One line on it."""
        if self.why:
            return f"{self.package} {self.installed}: {self.why}"
        if self.installed is None:
            return f"{self.package} {self.locked} is not installed"
        return f"{self.package} is {self.installed}, and locked at {self.locked}"

    def as_json(self) -> dict[str, str | None]:
        return asdict(self)


@dataclass(frozen=True)
class Found:
    """What is installed in a folder: the version of Python, and packages by name."""

    python: str
    packages: Mapping[str, Pinned]


def interpreter(folder: Path) -> Path:
    """The Python of an environment's folder."""
    return folder / "bin" / "python"


def look(folder: Path, name: str) -> Found:
    """What is installed in a folder. Raises TreeError where there is no environment."""
    if not interpreter(folder).exists():
        raise TreeError(f"there is no environment at {folder}. Build it with: lethe env build {name} --at {folder}")
    asked = subprocess.run(
        [str(interpreter(folder)), "-I", "-c", ASK], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    try:
        said = json.loads(asked.stdout)
    except ValueError as error:
        raise TreeError(f"{interpreter(folder)} cannot tell what is installed: {asked.stderr.strip()}") from error
    return Found(said["python"], dict(_packages(said["packages"], folder)))


def _packages(said: Mapping[str, str], folder: Path) -> Iterator[tuple[str, Pinned]]:
    """Packages with versions; one whose version is none has no place in a comparison."""
    for name, version in sorted(said.items()):
        try:
            yield canonicalize_name(name), Pinned(name, Version(version), Position(str(folder)))
        except InvalidVersion:
            continue


def differences(lock: Lock, python: str, found: Found) -> list[Difference]:
    """What is not as it is locked: missing packages, other versions, another Python, and packages beside the lock that do not
    live with those in it. A build of the same version (2.13.0+cpu) is the same."""
    wrong = [] if _minor(found.python) == python else [Difference("python", python, found.python)]
    for name, pin in sorted(lock.packages.items()):
        here = found.packages.get(name)
        if here is None:
            wrong.append(Difference(pin.name, str(pin.version), None))
        elif here.version != pin.version and Version(here.version.public) != pin.version:
            wrong.append(Difference(pin.name, str(pin.version), str(here.version)))
    beside = {name: pin for name, pin in found.packages.items() if name not in lock.packages}
    whole = replace(lock, packages={**lock.packages, **beside})
    known = {mistake.message for mistake in broken(lock)}
    told = [mistake.message for mistake in broken(whole) if mistake.message not in known]
    wrong += [
        Difference(pin.name, None, str(pin.version), message)
        for pin in beside.values()
        for message in told
        if message.startswith(f"{pin.name} ")
    ]
    return wrong


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def build(lock: Lock, python: str, folder: Path) -> None:
    """Make a virtual environment and install a lock into it, and nothing else. Raises TreeError.

    A file with a hash for every package is installed with no other hash allowed; in one that has none (the index decides which
    file of PyTorch it is) versions alone are held.
    """
    if folder.exists() and not (folder / "pyvenv.cfg").is_file():
        raise TreeError(f"{folder} is there already and no virtual environment. Name another folder with --at.")
    if not folder.exists():
        _run([_python(python), "-m", "venv", str(folder)], f"Python {python} could not make a virtual environment at {folder}")
    for file in lock.files:
        held = ["--no-deps", "--require-hashes"] if file in lock.hashed else []
        command = [str(interpreter(folder)), "-m", "pip", *FROM_PIP, *held, "-r", str(file)]
        _run(command, f"pip could not install {os.path.relpath(file)} into {folder}")


def _python(version: str) -> str:
    """The interpreter of a version. Raises TreeError where there is none."""
    found = shutil.which(f"python{version}")
    if found is None:
        raise TreeError(f"there is no python{version} here. Install it, or load the site's module for it, and run this again.")
    return found


def _run(command: Sequence[str], failure: str) -> None:
    """Run a command that shows its own progress. Raises TreeError when it fails."""
    try:
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise TreeError(f"{failure}: {error.strerror}.") from error
    if done.returncode:
        raise TreeError(f"{failure}: {command[0]} ended with exit code {done.returncode}; its own messages are above.")
