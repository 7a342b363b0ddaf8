"""Puts a study's files on disk: all of them or none, leaving alone what does not change.

The new tree is built beside the old one, with hard links for the files that are the same, and then exchanged with it in one
step. Whoever looks, at whatever moment, sees the old tree or the new one.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from compiler.diagnostics import TreeError
from compiler.output.emit import SUMS

_AT_FDCWD = -100
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)


def edited_by_hand(folder: Path) -> list[str]:
    """The files of a generated folder that are not what was compiled: changed, missing, or of unknown origin.

    Raises TreeError when the folder cannot be read.
    """
    try:
        there = _files(folder)
        known = _sums(folder / SUMS) if SUMS in there else {}
        changed = {name for name in there & set(known) if _sum(folder / name) != known[name]}
    except OSError as error:
        raise TreeError(f"cannot read {folder}: {error.strerror or error}.") from error
    return sorted(changed | ((there - {SUMS} if known else there) ^ set(known)))


def _sums(path: Path) -> dict[str, str]:
    """What manifest.sha256 says, nothing if it is not one."""
    found = re.findall(r"^([0-9a-f]{64})  (.+)$", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return {name: digest for digest, name in found}


def differing(folder: Path, files: Mapping[str, str]) -> tuple[str, ...]:
    """The names of `files`, and of what is in `folder`, that differ or are on one side only. Raises TreeError."""
    try:
        there = _files(folder)
        same = {name for name in there & set(files) if (folder / name).read_bytes() == files[name].encode()}
    except OSError as error:
        raise TreeError(f"cannot read {folder}: {error.strerror or error}.") from error
    return tuple(sorted((there | set(files)) - same))


def write_tree(folder: Path, files: Mapping[str, str]) -> bool:
    """Make `folder` hold exactly `files`. Returns whether anything changed. Raises TreeError, and then nothing has."""
    folder = folder.resolve() if folder.is_symlink() else folder
    fresh = folder.parent / f".{folder.name}.new-{os.getpid()}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _restore(folder)
        _clear_leftovers(folder)
        if folder.is_dir() and not differing(folder, files):
            return False
        _build(fresh, folder, files)
        _swap(fresh, folder)
    except OSError as error:
        raise TreeError(f"cannot write {folder}: {error.strerror or error}. Nothing there was changed.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return True


def write_file(path: Path, text: str) -> bool:
    """Write one file by renaming, if it differs. Returns whether it did. Raises TreeError."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.is_file() and path.read_bytes() == text.encode():
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(part, text)
        part.replace(path)
    except OSError as error:
        raise TreeError(f"cannot write {path}: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return True


def _build(fresh: Path, old: Path, files: Mapping[str, str]) -> None:
    for place in sorted({str(Path(name).parent) for name in files}):
        (fresh / place).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        before = old / name
        if before.is_file() and before.read_bytes() == text.encode():
            os.link(before, fresh / name)
        else:
            _write(fresh / name, text)


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    if path.suffix == ".sh":
        path.chmod(0o755)


def _swap(fresh: Path, folder: Path) -> None:
    """Put `fresh` in the place of `folder` in one step; where the file system cannot, in two that `_restore` can mend."""
    if not folder.exists():
        fresh.rename(folder)
    elif not folder.is_dir():
        raise FileExistsError(errno.EEXIST, "a file is in its place")
    elif not _exchanged(fresh, folder):
        folder.rename(_aside(folder))
        try:
            fresh.rename(folder)
        finally:
            _restore(folder)


def _exchanged(one: Path, other: Path) -> bool:
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code))


def _aside(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.old"


def _restore(folder: Path) -> None:
    """Bring the old tree back if an earlier run was cut off between the two steps of `_swap`."""
    if _aside(folder).is_dir():
        if folder.exists():
            shutil.rmtree(_aside(folder))
        else:
            _aside(folder).rename(folder)


def _clear_leftovers(folder: Path) -> None:
    for stale in folder.parent.glob(f".{folder.name}.new-*"):
        shutil.rmtree(stale, ignore_errors=True)


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} if folder.is_dir() else set()


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
