"""Locks: files of pinned requirements, as pip and uv write them, read into packages with the place of each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from compiler.diagnostics import Diagnostic, Position, SpecError

_PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(\[[^]]*\])?\s*==\s*(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
_AT_LINE_END = re.compile(r"(^|\s)#.*$")


@dataclass(frozen=True)
class Pinned:
    """One package of a lock: its name as the index has it, its version, and where that stands."""

    name: str
    version: Version
    position: Position


@dataclass(frozen=True)
class Lock:
    """What the files of an environment pin. `digest` is the sha256 (64 hex digits) of their bytes, one after the other.

    `hashed` are the files in which every package has hashes, so that nothing else can be installed from them.
    """

    files: tuple[Path, ...]
    digest: str
    packages: Mapping[str, Pinned]
    hashed: tuple[Path, ...] = ()


def read_environment_lock(files: Sequence[Path], asked: Position) -> Lock:
    """Read the files of a lock. Raises SpecError: at `asked` for one that cannot be read, at each line that pins nothing, and
    where two files pin one package to different versions."""
    try:
        texts = {file: file.read_bytes() for file in files}
    except OSError as error:
        message = f"the lock {error.filename} cannot be read: {error.strerror}"
        raise SpecError([Diagnostic(asked, message, "its path is seen from the file that names it")]) from error
    wrong: list[Diagnostic] = []
    packages: dict[str, Pinned] = {}
    hashed: list[Path] = []
    for file, text in texts.items():
        lines = list(_requirements(text.decode(errors="replace")))
        found = [pin for number, line in lines if (pin := _pinned(str(file), number, line, wrong))]
        for pin in found:
            _add(packages, pin, wrong)
        if lines and all(_HASH.search(line) for _, line in lines):
            hashed.append(file)
    if wrong:
        raise SpecError(wrong)
    return Lock(tuple(files), hashlib.sha256(b"".join(texts.values())).hexdigest(), packages, tuple(hashed))


def _add(packages: dict[str, Pinned], pin: Pinned, wrong: list[Diagnostic]) -> None:
    known = packages.setdefault(canonicalize_name(pin.name), pin)
    if known.version != pin.version:
        message = f"{pin.name} is pinned to {pin.version} here, and to {known.version} at {known.position}"
        wrong.append(Diagnostic(pin.position, message, "an environment has one version of a package"))


def _requirements(text: str) -> Iterable[tuple[int, str]]:
    """Each requirement with its options on one line, and the number of the line where it begins."""
    begun, parts = 0, list[str]()
    for number, raw in enumerate(text.splitlines(), 1):
        line = _AT_LINE_END.sub("", raw).strip()
        if not line and not parts:
            continue
        begun = begun if parts else number
        parts.append(line.removesuffix("\\").strip())
        if not line.endswith("\\"):
            yield begun, " ".join(parts)
            parts = []
    if parts:
        yield begun, " ".join(parts)


def _pinned(file: str, number: int, line: str, wrong: list[Diagnostic]) -> Pinned | None:
    found = _PIN.match(line)
    at = Position(file, number, 1)
    if not found:
        wrong.append(Diagnostic(at, "a lock's line pins one package: NAME==VERSION", "write it with: make locks"))
        return None
    try:
        return Pinned(found["name"], Version(found["version"]), at)
    except InvalidVersion:
        wrong.append(Diagnostic(at, f"'{found['version']}' is no version of {found['name']}", "write it with: make locks"))
        return None
