"""One training on two nodes of a real Slurm, by its generated script: the processes meet, hear a signal, and go on later."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.tree import QUIET, REPOSITORY

pytestmark = pytest.mark.slurm
SPEC = Path(__file__).with_name("multinode.yaml")
TRAIN = "train/gt_sft_math_base_micro"
SECONDS = 600.0
STEPS = 800


class Study:
    """The study, compiled in a checkout without generated files, on a Slurm."""

    def __init__(self, root: Path, slurm: Mapping[str, str]) -> None:
        self.root, self.store = root, root / "store"
        (root / "runtime").symlink_to(REPOSITORY / "runtime")
        (root / ".venv").symlink_to(sys.prefix)
        more = {"LETHE_STORE": str(self.store), "PYTHONPATH": str(REPOSITORY)}
        self.environment = {**os.environ, **QUIET, **slurm, **more}
        assert "written" in self.call(sys.executable, "-m", "compiler.cli", "compile", str(SPEC))
        plan = json.loads((root / "generated/twonodes/plan.json").read_text())
        [self.fingerprint] = [job["fingerprint"] for job in plan["jobs"] if job["id"] == TRAIN]
        self.out = self.store / f"{TRAIN}-{self.fingerprint[:12]}"

    def call(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def submit(self) -> None:
        self.call("bash", "generated/submit_all.sh", "twonodes")

    def attempts(self) -> list[list[str]]:
        """Id, state, nodes and their number of each of the training's jobs, oldest first."""
        name = f"twonodes.{TRAIN.replace('/', '.')}.{self.fingerprint[:8]}"
        lines = self.call("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%i|%T|%N|%D|%k").splitlines()
        own = [line.split("|")[:4] for line in lines if line.endswith(f"|{self.store}")]
        return sorted(own, key=lambda one: int(one[0]))

    def wait(self, until: Callable[[], bool]) -> None:
        end = time.monotonic() + SECONDS
        while not until():
            assert time.monotonic() < end and not self.failed(), f"{self.attempts()}\n{self.logs()}"
            time.sleep(0.2)

    def failed(self) -> bool:
        """Whether anything before the training has failed."""
        lines = self.call("squeue", "--noheader", "--states=all", "--format=%T|%j|%k").splitlines()
        own = [line.split("|") for line in lines if line.endswith(f"|{self.store}")]
        before = [state for state, name, _ in own if ".train.gt_" not in name and ".report." not in name]
        return "FAILED" in before or "TIMEOUT" in before

    def logs(self) -> str:
        return "\n".join(f"== {path}\n{path.read_text()[-20000:]}" for path in sorted((self.store / "logs").rglob("*.out")))


def test_a_training_on_two_nodes_that_is_told_to_stop_is_queued_again_and_goes_on(
    slurm: Mapping[str, str], tmp_path: Path
) -> None:
    study = Study(tmp_path, slurm)
    study.submit()
    study.wait(lambda: (study.out / "PROGRESS.json").exists() or "FAILED" in str(study.attempts()))
    [[number, state, nodes, many]] = study.attempts()
    assert (state, nodes, many) == ("RUNNING", "node[1-2]", "2"), study.logs()
    study.call("scancel", "--batch", "--signal=USR1", number)  # what Slurm sends before the time limit
    study.wait(lambda: (study.out / "DONE.json").exists() or study.attempts()[-1][1] == "FAILED")
    assert (study.out / "DONE.json").exists(), study.logs()
    assert json.loads((study.out / "DONE.json").read_text())["facts"]["steps"] == STEPS
    stopped = re.search(rf"stopped at step (\d+) of {STEPS}", study.logs())
    assert stopped and 0 < int(stopped[1]) < STEPS, study.logs()  # both processes heard it, and saved
    assert [one[0] for one in study.attempts()] == [number]  # one job of Slurm's, so that who waits for it goes on waiting
    tried = [json.loads((study.out / f"attempts/{which}/attempt.json").read_text()) for which in (1, 2)]
    assert [(one["slurm"], one["restarts"], one["exit_code"]) for one in tried] == [(number, 0, 75), (number, 1, 0)]
    assert not (study.out / "TRUNCATED.json").exists()
