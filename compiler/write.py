"""Puts a study's files on disk: all of them or none, leaving alone what does not change.

The new tree is built beside the old one, with hard links for the files that are the same, and then exchanged with it in one
step. Whoever looks, at whatever moment, sees the old tree or the new one.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from compiler.diagnostics import TreeError
from compiler.emit import SUMS

_AT_FDCWD = -100
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)


def edited_by_hand(folder: Path) -> list[str]:
    """The files of a generated folder that are not what was compiled: changed, missing, or of unknown origin."""
    sums = folder / SUMS
    if not sums.is_file():
        return sorted(_files(folder))
    lines = sums.read_text(encoding="utf-8").splitlines()
    known = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    there = _files(folder) - {SUMS}
    changed = {name for name in there & set(known) if _sum(folder / name) != known[name]}
    return sorted(changed | (there ^ set(known)))


def write_tree(folder: Path, files: Mapping[str, str]) -> bool:
    """Make `folder` hold exactly `files`. Returns whether anything changed. Raises TreeError, and then nothing has."""
    _restore(folder)
    if _same(folder, files):
        return False
    fresh = folder.parent / f".{folder.name}.new-{os.getpid()}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(folder)
        _build(fresh, folder, files)
        _swap(fresh, folder)
    except OSError as error:
        raise TreeError(f"cannot write {folder}: {error.strerror or error}. Nothing there was changed.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return True


def write_file(path: Path, text: str) -> bool:
    """Write one file by renaming, if it differs. Returns whether it did. Raises TreeError."""
    try:
        if path.is_file() and path.read_bytes() == text.encode():
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        _write(part, text)
        part.replace(path)
    except OSError as error:
        raise TreeError(f"cannot write {path}: {error.strerror or error}.") from error
    return True


def _same(folder: Path, files: Mapping[str, str]) -> bool:
    if not folder.is_dir() or _files(folder) != set(files):
        return False
    return all((folder / name).read_bytes() == text.encode() for name, text in files.items())


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
    elif not _exchanged(fresh, folder):
        folder.rename(_aside(folder))
        fresh.rename(folder)
        shutil.rmtree(_aside(folder))


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
