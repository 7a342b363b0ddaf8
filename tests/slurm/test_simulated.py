"""What `simulate` pretends of Slurm is what Slurm does: the same scripts on both, with the same failures."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from runtime.__main__ import main
from tests.tree import Tree

pytestmark = pytest.mark.slurm
FAILS, CANCELS = "exit 3", 'scancel "$SLURM_JOB_ID"; sleep 60'
SECONDS_AT_REST = 4.0
SECONDS = 90.0


def make_tree(root: Path, switches: str) -> Tree:
    """A failure and a cancellation, with all kinds of jobs behind them, directly and at a distance."""
    tree = Tree(root, executor="slurm")
    tree.add("train/fine")
    tree.add("train/fails", body=FAILS)
    tree.add("train/cancelled", after=["train/fine"], body=CANCELS)
    tree.add("build/after", after=["train/fails", "train/fine"])
    tree.add("build/grandchild", after=["build/after"])
    tree.add("build/ended", ended=["train/fails", "train/cancelled"])
    tree.add("build/ended_late", ended=["build/grandchild"])
    tree.add("build/both", after=["train/fine"], ended=["build/after"])
    tree.add("build/third", after=["train/fine"], ended=["build/both", "build/ended"])
    tree.add("build/behind", after=["train/cancelled"])
    return tree.close(switches)


def on_slurm(tree: Tree, environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Each job's end once nothing has moved for a while, in the words of `simulate`."""
    assert tree.submit(environment={**environment, "LETHE_STORE": str(tree.store)}).returncode == 0
    end, since, before = time.monotonic() + SECONDS, time.monotonic(), list[str]()
    while time.monotonic() < min(end, since + SECONDS_AT_REST) or any("|RUNNING|" in line for line in before):
        assert time.monotonic() < end, before
        now = queue(tree, environment)
        before, since = now, since if now == before else time.monotonic()
        time.sleep(0.5)
    names = {tree.name(job): job for job in tree.jobs}
    return {names[name]: in_our_words(state, reason) for name, state, reason in (line.split("|")[:3] for line in before)}


def queue(tree: Tree, environment: Mapping[str, str]) -> list[str]:
    command = ["squeue", "--noheader", "--states=all", "--format=%j|%T|%r|%k"]
    lines = subprocess.run(command, env=tree.environment(environment), capture_output=True, text=True, check=True).stdout
    return sorted(line for line in lines.splitlines() if line.endswith(f"|{tree.store}"))


def in_our_words(state: str, reason: str) -> tuple[str, str]:
    if state == "PENDING":
        return "hanging", reason
    if (state, reason) == ("CANCELLED", "DependencyNeverSatisfied"):
        return "cancelled", reason
    return ("done", "") if state == "COMPLETED" else ("failed", state)


def simulated(tree: Tree) -> dict[str, tuple[str, str]]:
    """Each job's end as foretold. A job of these works without what it merely waits for; a report does not."""
    shown = io.StringIO()
    failures = ["--fail=train/fails=FAILED", "--fail=train/cancelled=CANCELLED"]
    with contextlib.redirect_stdout(shown):
        main(["simulate", str(tree.generated / "plan.json"), *failures, "--json"])
    jobs = json.loads(shown.getvalue())["jobs"]
    return {job["job"]: ("done", "") if job["state"] == "incomplete" else (job["state"], job["reason"]) for job in jobs}


@pytest.mark.parametrize("switches", ["", "kill_on_invalid_dep=yes"])
def test_jobs_end_on_slurm_as_simulate_foretells(slurm: Mapping[str, str], tmp_path: Path, switches: str) -> None:
    tree = make_tree(tmp_path / "root", switches)
    foretold = simulated(tree)
    assert {"done", "failed", "cancelled" if switches else "hanging"} <= {state for state, _ in foretold.values()}
    assert on_slurm(tree, slurm) == foretold
