"""A study that really trains on a Slurm of the tests, by its generated scripts, and what happens to it on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tree import QUIET, REPOSITORY

TRAIN = "train/gt_sft_math_base_micro"
SECONDS = 600.0


@dataclass(frozen=True)
class Seen:
    """A job of Slurm's: its id, state, and the nodes that it runs on."""

    id: str
    state: str
    nodes: str


class Study:
    """The study of a spec, compiled in a checkout without generated files, on a Slurm."""

    def __init__(self, spec: Path, root: Path, slurm: Mapping[str, str]) -> None:
        self.spec, self.root, self.store = spec, root, root / "store"
        self.name = spec.stem
        (root / "runtime").symlink_to(REPOSITORY / "runtime")
        (root / ".venv").symlink_to(sys.prefix)
        more = {"LETHE_STORE": str(self.store), "PYTHONPATH": str(REPOSITORY)}
        self.environment = {**os.environ, **QUIET, **slurm, **more}
        assert "written" in self.lethe("compile", str(spec))

    @property
    def fingerprint(self) -> str:
        plan = json.loads((self.root / f"generated/{self.name}/plan.json").read_text())
        [found] = [job["fingerprint"] for job in plan["jobs"] if job["id"] == TRAIN]
        return str(found)

    @property
    def out(self) -> Path:
        """Where the training writes."""
        return self.store / f"{TRAIN}-{self.fingerprint[:12]}"

    def call(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def lethe(self, *words: str) -> str:
        return self.call(sys.executable, "-m", "compiler.cli", *words)

    def lethe_may_fail(self, *words: str) -> str:
        command = [sys.executable, "-m", "compiler.cli", *words]
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def submit(self) -> str:
        return self.call("bash", "generated/submit_all.sh", self.name)

    def status(self) -> dict[str, dict[str, Any]]:
        """What `status` says of each job."""
        command = [sys.executable, "-m", "runtime", "status", f"generated/{self.name}/plan.json", "--json"]
        shown = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False)
        return {job["job"]: job for job in json.loads(shown.stdout)["jobs"]}

    def trainings(self, job: str = TRAIN) -> list[Seen]:
        """Slurm's jobs of the training, with its links, oldest first."""
        name = f"{self.name}.{job.replace('/', '.')}.{self.fingerprint[:8]}"
        lines = self.call("squeue", "--noheader", "--states=all", "--format=%i|%T|%N|%j|%k").splitlines()
        rows = [line.split("|", 4) for line in lines]
        own = [Seen(*row[:3]) for row in rows if row[4] == str(self.store) and row[3].startswith(name)]
        return sorted(own, key=lambda seen: int(seen.id))

    def attempts(self) -> list[dict[str, Any]]:
        """What each attempt at the training noted."""
        files = sorted(self.out.glob("attempts/[0-9]*/attempt.json"), key=lambda file: int(file.parent.name))
        return [json.loads(file.read_text()) for file in files]

    def progress(self) -> int:
        """The training's step; 0 before its first."""
        try:
            return int(json.loads((self.out / "PROGRESS.json").read_text())["done"])
        except FileNotFoundError:
            return 0

    def wait(self, until: Callable[[], bool]) -> None:
        end = time.monotonic() + SECONDS
        while not until():
            assert time.monotonic() < end and not self.failed(), f"{self.trainings()}\n{self.logs()}"
            time.sleep(0.2)

    def wait_until_done(self) -> None:
        self.wait(lambda: (self.out / "DONE.json").exists())

    def facts(self) -> dict[str, Any]:
        """What the training's done-marker holds."""
        return dict(json.loads((self.out / "DONE.json").read_text())["facts"])

    def failed(self) -> bool:
        """Whether anything before the training has failed."""
        lines = self.call("squeue", "--noheader", "--states=all", "--format=%T|%j|%k").splitlines()
        own = [line.split("|") for line in lines if line.endswith(f"|{self.store}")]
        before = [state for state, name, _ in own if ".train.gt_" not in name and ".report." not in name]
        return "FAILED" in before or "TIMEOUT" in before

    def logs(self) -> str:
        return "\n".join(f"== {path}\n{path.read_text()[-20000:]}" for path in sorted((self.store / "logs").rglob("*.out")))
