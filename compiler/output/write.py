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
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from compiler.diagnostics import TreeError
from compiler.output.emit import Files, batches, digest_of
from compiler.output.sums import SUMS, files_below, hash_of, sum_line, sums_of

_AT_FDCWD = -100
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)


def differing(folder: Path, files: Files, edited: Collection[str]) -> tuple[str, ...]:
    """The names of `files`, and of what is in `folder`, that differ or are on one side only. Raises TreeError.

    `edited` are those files there that are not as its manifest.sha256 says.
    """
    try:
        return tuple(sorted(_differing(folder, files, edited)))
    except OSError as error:
        raise TreeError(f"cannot read {folder}: {error.strerror or error}.") from error


def _differing(folder: Path, files: Files, edited: Collection[str]) -> Iterator[str]:
    known, sums, names = _Known(folder, edited), hashlib.sha256(), {SUMS}
    for name, text in files.texts():  # the first is PLAN.md, which differs when any job does
        digest = digest_of(text)
        names.add(name)
        sums.update(sum_line(name, digest).encode())
        if not known.holds(name, digest):
            yield name
    if not known.holds(SUMS, sums.hexdigest()):
        yield SUMS
    yield from (name for name in files_below(folder) if name not in names)


class _Known:
    """What is in a generated folder, asked for in the order of its manifest.sha256: what that says need not be read again."""

    def __init__(self, folder: Path, edited: Collection[str]) -> None:
        self.folder, self.edited = folder, frozenset(edited)
        self.there = folder.is_dir()
        self.sums = sums_of(folder)
        self.next: tuple[str, str] | None = next(self.sums, None)

    def holds(self, name: str, digest: str) -> bool:
        """Whether a file is there with this sha256."""
        if not self.there:
            return False
        while self.next and self.next[0] < name:
            self.next = next(self.sums, None)
        if self.next and self.next[0] == name and name not in self.edited:
            return self.next[1] == digest
        return hash_of(f"{self.folder}/{name}") == digest


def write_tree(folder: Path, files: Files, edited: Collection[str] = ()) -> bool:
    """Make `folder` hold exactly `files`. Returns whether anything changed. Raises TreeError, and then nothing has.

    `edited` are those files there that are not as its manifest.sha256 says.
    """
    folder = folder.resolve() if folder.is_symlink() else folder
    fresh = folder.parent / f".{folder.name}.new-{os.getpid()}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _restore(folder)
        _clear_leftovers(folder)
        if folder.is_file():
            raise FileExistsError(errno.EEXIST, "a file is in its place")
        changed = not folder.is_dir() or any(True for _ in _differing(folder, files, edited))
        if changed:
            _build(fresh, folder, files, edited)
            _swap(fresh, folder)
    except OSError as error:
        raise TreeError(f"cannot write {folder}: {error.strerror or error}. Nothing there was changed.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return changed


def write_file(path: Path, text: str) -> bool:
    """Write one file by renaming, if it differs. Returns whether it did. Raises TreeError."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.is_file() and path.read_bytes() == text.encode():
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(str(part), text.encode())
        part.replace(path)
    except OSError as error:
        raise TreeError(f"cannot write {path}: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return True


def _build(fresh: Path, old: Path, files: Files, edited: Collection[str]) -> None:
    """Make the new tree, with links for what is the same as in the old one."""
    known, top = _Known(old, edited), str(fresh)
    for place in files.folders():
        (fresh / place).mkdir(parents=True)
    with (fresh / SUMS).open("w", encoding="utf-8", newline="\n") as sums:
        for name, text in files.texts():
            digest = _put(f"{top}/{name}", text, name, known)
            sums.write(sum_line(name, digest))


def _put(path: str, text: str | Iterable[str], name: str, known: _Known) -> str:
    """Write a file, or link it to the one of that name that is `known`, if that is the same. Returns its sha256."""
    if isinstance(text, str):
        data = text.encode()
        digest = hashlib.sha256(data).hexdigest()
        if not known.holds(name, digest):
            _write(path, data)
            return digest
    else:
        found = hashlib.sha256()
        with open(path, "wb", buffering=0) as file:
            for data in batches(text):
                found.update(data)
                file.write(data)
        digest = found.hexdigest()
        if not known.holds(name, digest):
            return digest
        Path(path).unlink()
    os.link(f"{known.folder}/{name}", path)
    return digest


def _write(path: str, data: bytes) -> None:
    mode = 0o777 if path.endswith(".sh") else 0o666
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)  # a file object asks the system for more than that
    try:
        done = os.write(file, data)
        while done < len(data):
            done += os.write(file, data[done:])
    finally:
        os.close(file)


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
