"""A real study, compiled, trained and reported through a real Slurm: every script, contract and config as they are emitted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.tree import QUIET, REPOSITORY

pytestmark = pytest.mark.slurm
SPEC = Path(__file__).with_name("study.yaml")
SECONDS = 900.0


def call(root: Path, environment: Mapping[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=root, env={**os.environ, **QUIET, **environment}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout without generated files: links to the runtime and to this environment."""
    (tmp_path / "runtime").symlink_to(REPOSITORY / "runtime")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def test_a_study_is_trained_and_reported(slurm: Mapping[str, str], root: Path) -> None:
    environment = {**slurm, "LETHE_STORE": str(root / "store"), "PYTHONPATH": str(REPOSITORY)}
    compiled = call(root, environment, sys.executable, "-m", "compiler.cli", "compile", str(SPEC))
    assert compiled.returncode == 0, compiled.stderr
    submitted = call(root, environment, "bash", "generated/submit_all.sh", "onslurm")
    assert submitted.returncode == 0, submitted.stderr

    status = [sys.executable, "-m", "runtime", "status", "generated/onslurm/plan.json"]
    end = time.monotonic() + SECONDS
    while call(root, environment, *status).returncode and time.monotonic() < end:
        document = json.loads(call(root, environment, *status, "--json").stdout)
        failed = [job for job in document["jobs"] if job["state"] == "failed"]
        logs = [Path(job["log"]).read_text() for job in failed if Path(job["log"]).exists()]
        assert not failed, "\n".join([json.dumps(failed, indent=1), *logs])
        time.sleep(2)

    done = call(root, environment, *status)
    assert done.returncode == 0, done.stdout
    again = call(root, environment, "bash", "generated/submit_all.sh", "onslurm")
    assert again.stderr.startswith("nothing to do: ")
    [report] = (root / "store/report").glob("onslurm-*/report.json")
    assert json.loads(report.read_text())
    steps = [json.loads(path.read_text())["facts"]["steps"] for path in (root / "store/train").glob("*/DONE.json")]
    assert sorted(steps) == [2, 5, 10]
