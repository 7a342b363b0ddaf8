"""manifest.sha256: the hash of every file of a generated folder, and whether they are still what it says."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from compiler.diagnostics import TreeError

SUMS = "manifest.sha256"
_SUM = re.compile(r"([0-9a-f]{64})  (.+)$")


def sum_line(path: str, digest: str) -> str:
    """A file's line of manifest.sha256."""
    return f"{digest}  {path}\n"


def edited_by_hand(folder: Path) -> list[str]:
    """The files of a generated folder that are not what was compiled: changed, missing, or of unknown origin.

    Raises TreeError when the folder cannot be read.
    """
    try:
        found = [(name, hash_of(f"{folder}/{name}"), digest) for name, digest in sums_of(folder)]
        wrong = [name for name, there, digest in found if there != digest]
        known = {name for name, _, _ in found}
        wrong += [name for name in files_below(folder) if name not in known and not (known and name == SUMS)]
    except OSError as error:
        raise TreeError(f"cannot read {folder}: {error.strerror or error}.") from error
    return sorted(wrong)


def sums_of(folder: Path) -> Iterator[tuple[str, str]]:
    """What manifest.sha256 says of each file, nothing if it is none."""
    if (folder / SUMS).is_file():
        with (folder / SUMS).open(encoding="utf-8", errors="replace", newline="\n") as lines:
            for found in filter(None, map(_SUM.match, lines)):
                yield found[2], found[1]


def files_below(folder: Path) -> Iterator[str]:
    """Every file below a folder that is there, as its path from it. Raises OSError."""
    for place, _, names in os.walk(folder, onerror=_raised) if folder.is_dir() else ():
        below = os.path.relpath(place, folder)
        yield from (name if below == "." else f"{below}/{name}" for name in names)


def _raised(error: OSError) -> None:
    raise error


def hash_of(path: str) -> str | None:
    """The sha256 of a file, None where there is none."""
    try:
        with open(path, "rb", buffering=0) as file:
            return hashlib.sha256(file.read()).hexdigest()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
