"""A project of its own for each test: the toy study with its catalog, and `lethe` run in it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.cli import main

REPOSITORY = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Result:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The first line of every diagnostic."""
        return [line for line in self.err.splitlines() if ": error: " in line]


@dataclass(frozen=True)
class Project:
    """A folder with `specs/toy.yaml` and `specs/catalog/`, where `generated/` appears."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> Project:
        shutil.copytree(DATA / "specs", root / "specs")
        return cls(root)

    @property
    def spec(self) -> Path:
        return self.root / "specs" / "toy.yaml"

    @property
    def generated(self) -> Path:
        return self.root / "generated"

    @property
    def tree(self) -> Path:
        return self.generated / "toy"

    def lethe(self, *arguments: str) -> Result:
        """Run `lethe` in this process, in the project's folder."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(self.root), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main(arguments)
            except SystemExit as stop:  # argparse's way of ending
                code = int(str(stop.code))
        return Result(code, out.getvalue(), err.getvalue())

    def shell(self, *command: str, environment: Mapping[str, str] | None = None) -> Result:
        """Run a command in a process of its own, in the project's folder."""
        done = subprocess.run(
            command, cwd=self.root, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def compile(self) -> dict[str, Any]:
        """Compile the toy study, which must succeed, and give its plan."""
        done = self.lethe("compile", "specs/toy.yaml")
        assert done.code == 0, done.err
        return self.plan()

    def plan(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.tree / "plan.json").read_text())
        return found

    def jobs(self) -> dict[str, dict[str, Any]]:
        return {job["id"]: job for job in self.plan()["jobs"]}

    def diff(self) -> dict[str, Any]:
        """`lethe diff --json` of the toy study."""
        found: dict[str, Any] = json.loads(self.lethe("diff", "specs/toy.yaml", "--json").out)
        return found

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace what stands exactly once in a file below `specs/`."""
        path = self.root / "specs" / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file} has {text.count(old)} of {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def add(self, text: str) -> None:
        """Add lines at the end of the toy spec."""
        with self.spec.open("a", encoding="utf-8") as file:
            file.write(text)

    def snapshot(self) -> dict[str, tuple[int, int, str]]:
        """Every file and folder below `generated/`: inode, time of change, content."""
        paths = [self.generated, *sorted(self.generated.rglob("*"))] if self.generated.exists() else []
        return {str(path.relative_to(self.root)): _seen(path) for path in paths}

    def files(self) -> dict[str, bytes]:
        """Every file of the generated folder."""
        return {str(p.relative_to(self.generated)): p.read_bytes() for p in self.generated.rglob("*") if p.is_file()}


def _seen(path: Path) -> tuple[int, int, str]:
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def descendants(jobs: Mapping[str, Mapping[str, Any]], changed: set[str]) -> set[str]:
    """`changed` and everything that reads from it, however indirectly."""
    reached, before = set(changed), set()
    while reached != before:
        before = set(reached)
        reached |= {name for name, job in jobs.items() if any(edge["job"] in before for edge in job["inputs"])}
    return reached
