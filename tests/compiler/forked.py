"""`lethe` in a forked process that something happens to: killed, out of space, on another file system."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from compiler.cli import main
from tests.compiler.project import Project, Result

CHANGES = {"os.mkdir", "os.link", "os.rename", "os.remove", "os.rmdir", "os.chmod", "ctypes.dlsym"}
KILLED = 9


def run(project: Project, prepare: Callable[[], None]) -> Result:
    """Call `prepare` and then `lethe compile specs/toy.yaml` in a forked process."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        child = os.fork()
        if child == 0:
            _compile(project, prepare, out, err)
        _, status = os.waitpid(child, 0)
        return Result(os.waitstatus_to_exitcode(status), out.read_text(), err.read_text())


def _compile(project: Project, prepare: Callable[[], None], out: Path, err: Path) -> None:
    """What the child does; it never returns."""
    code = 99
    try:
        os.chdir(project.root)
        sys.stdout, sys.stderr = out.open("w"), err.open("w")
        prepare()
        code = main(["compile", "specs/toy.yaml"])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def at_change(number: int, happen: Callable[[], None]) -> Callable[[], None]:
    """A `prepare` that lets something happen just before the file system is changed for the `number`th time, from 0."""

    def prepare() -> None:
        left = [number]

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            if event in CHANGES or (event == "open" and str(arguments[1]).startswith("w")):
                left[0] -= 1
                if left[0] == -1:
                    happen()

        sys.addaudithook(hook)

    return prepare


def kill() -> None:
    os._exit(KILLED)


def fill_up() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def changes(project: Project, prepare: Callable[[], None]) -> int:
    """How often compiling changes the file system."""
    seen = project.root / "changes"

    def counting() -> None:
        count = [0]

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            if event in CHANGES or (event == "open" and str(arguments[1]).startswith("w")):
                count[0] += 1
                os.pwrite(file, b"%8d" % count[0], 0)

        prepare()
        file = os.open(seen, os.O_WRONLY | os.O_CREAT)
        sys.addaudithook(hook)

    assert run(project, counting).code == 0
    return int(seen.read_text())
