"""Asking a real Slurm about a study, and acting on what it says: status, triage, cancel, retry; and a cluster's profile."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.compiler.project import REPOSITORY, Project
from tests.runtime.asked import note
from tests.tools import without_slurm
from tests.tree import MAKE_TRACES, Tree

pytestmark = pytest.mark.slurm
SECONDS = 60.0
OOM = "echo 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB'; exit 1"
WHILE_BROKEN = f'if [ -e "$LETHE_STORE/broken" ]; then {OOM}; fi; {MAKE_TRACES}'
WHILE_SLOW = 'while [ -e "$LETHE_STORE/slow" ]; do sleep 0.1; done; ' + MAKE_TRACES


@dataclass(frozen=True)
class Place:
    """A study of four cells, and the environment in which Slurm answers."""

    tree: Tree
    environment: Mapping[str, str]

    def run(self, *command: str, typed: str = "", more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        environment = self.tree.environment({**self.environment, "LETHE_STORE": str(self.tree.store), **(more or {})})
        return subprocess.run(
            command, cwd=self.tree.root, env=environment, input=typed, capture_output=True, text=True, check=False
        )

    def ask(self, verb: str, *options: str, **how: Any) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "runtime", verb, "generated/toy/plan.json", *options, **how)

    def submit(self) -> None:
        result = self.run("bash", "generated/toy/submit_all.sh")
        assert result.returncode == 0, result.stderr

    def states(self, **how: Any) -> dict[str, str]:
        return {job["job"]: job["state"] for job in json.loads(self.ask("status", "--json", **how).stdout)["jobs"]}

    def wait(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """Wait until these jobs are in these states; every job's state then."""
        return self.wait_until(lambda found: {**found, **wanted} == found)

    def wait_until(self, holds: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        end = time.monotonic() + SECONDS
        while not holds(found := self.states()):
            assert time.monotonic() < end, (found, self.run("squeue", "--states=all").stdout)
            time.sleep(0.2)
        return found


@pytest.fixture
def place(slurm: Mapping[str, str], tmp_path: Path) -> Place:
    """Two methods on two domains; the trainings of `rl` run out of memory while the file `broken` is there."""
    tree = Tree(tmp_path / "a 'root'", executor="slurm")
    tree.add("pretrain/base", body=WHILE_SLOW)
    for method, domain in [("sft", "math"), ("sft", "code"), ("rl", "math"), ("rl", "code")]:
        body = WHILE_BROKEN if method == "rl" else MAKE_TRACES
        tree.add_cell({"method": method, "domain": domain}, after=["pretrain/base"], body=body)
    tree.store.mkdir(parents=True)
    return Place(tree.close(), slurm)


def test_failures_are_seen_grouped_and_submitted_again(place: Place) -> None:
    (place.tree.store / "broken").touch()
    place.submit()
    broken = {"train/rl_math": "failed", "train/rl_code": "failed"}
    held_up = {"evaluate/rl_math.math": "upstream", "evaluate/rl_code.code": "upstream"}
    found = place.wait({**broken, **held_up, "evaluate/sft_math.math": "done", "evaluate/sft_code.code": "done"})
    assert set(found.values()) == {"done", "failed", "upstream"}
    lines = place.ask("status").stdout.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["math", "code"],
        ["sft", "done", "done"],
        ["rl", "failed", "train", "failed", "train"],
    ]
    (group,) = json.loads(place.ask("triage", "--json").stdout)["groups"]
    assert (group["signature"], group["common"], group["holds_up"]) == ("cuda-oom", {"method": "rl"}, 2)
    assert group["select"] == "method:rl,stage:train,result:failed"

    (place.tree.store / "broken").unlink()
    result = place.ask("retry", "--yes")
    assert result.returncode == 0, result.stderr
    place.wait_until(lambda states: set(states.values()) == {"done"})
    attempts = [job for event, job in place.tree.events() if event == "submitted"]
    assert sorted(attempts) == sorted([*place.tree.jobs, "train/rl_math", "train/rl_code"]), "nothing else ran twice"


def test_what_is_cancelled_ends_and_can_be_submitted_again(place: Place, tmp_path: Path) -> None:
    (place.tree.store / "slow").touch()
    place.submit()
    place.wait({"pretrain/base": "running", "train/rl_math": "waiting"})
    chosen = tmp_path / "chosen"
    chosen.write_text("train/rl_math\npretrain/base\n")
    refused = place.ask("cancel", "--jobs", str(chosen), typed="n\n")
    assert "cancel 2 jobs (1 running, 1 waiting); 7 more wait for these, and can never start then? [y/N]" in refused.stderr
    assert place.states()["pretrain/base"] == "running"
    assert place.ask("cancel", "--jobs", str(chosen), typed="y\n").returncode == 0
    found = place.wait({"pretrain/base": "cancelled", "train/rl_math": "cancelled", "train/sft_math": "upstream"})
    assert found["evaluate/sft_math.math"] == "upstream"
    assert [job for event, job in place.tree.events() if event == "cancelled"] == ["train/rl_math", "pretrain/base"]

    (place.tree.store / "slow").unlink()
    chosen.write_text("\n".join(place.tree.jobs))
    assert place.ask("retry", "--yes", "--jobs", str(chosen)).returncode == 0
    place.wait_until(lambda states: set(states.values()) == {"done"})


def test_cancelling_everything_leaves_nothing_in_the_queue(place: Place) -> None:
    (place.tree.store / "slow").touch()
    place.submit()
    place.wait({"pretrain/base": "running"})
    assert place.ask("cancel", "--yes").returncode == 0
    place.wait_until(lambda states: not set(states.values()) & {"running", "queued", "held", "waiting"})
    assert place.run("squeue", "--noheader", "--format=%k").stdout.count(str(place.tree.store)) == 0


def test_files_alone_tell_what_they_know(place: Place, tmp_path: Path) -> None:
    (place.tree.store / "broken").touch()
    place.submit()
    ended = {"evaluate/sft_math.math": "done", "evaluate/sft_code.code": "done"}
    known = place.wait({"train/rl_math": "failed", "train/rl_code": "failed", **ended})
    nowhere = {"PATH": str(without_slurm(tmp_path / "tools"))}
    blind = place.ask("status", "--json", more=nowhere)
    found = {job["job"]: job["state"] for job in json.loads(blind.stdout)["jobs"]}
    assert blind.returncode == 3
    assert {job for job, state in found.items() if state == "done"} == {job for job, state in known.items() if state == "done"}
    assert {state for state in found.values() if state != "done"} == {"unknown"}
    assert "there is no squeue here" in place.ask("status", more=nowhere).stderr


def test_elements_of_an_array_are_told_apart(place: Place) -> None:
    script = place.tree.root / "array.sh"
    script.write_text('#!/bin/bash\n[ "$SLURM_ARRAY_TASK_ID" != 1 ] || exit 3\nsleep 60\n')
    words = ["sbatch", "--parsable", "--array=1-4%1", "--time=5", "--mem=50", "--job-name=toy.stage", "--output=/dev/null"]
    sent = place.run(*words, str(script))
    assert sent.returncode == 0, sent.stderr
    number = sent.stdout.strip()
    jobs = ["train/sft_math", "train/sft_code", "train/rl_math", "train/rl_code"]
    for index, job in enumerate(jobs, start=1):
        note(place.tree, "submitted", job, f"{number}_{index}")
    place.wait({jobs[0]: "failed", jobs[1]: "running", jobs[2]: "queued", jobs[3]: "queued"})
    assert place.ask("cancel", "--yes").returncode == 0
    place.wait({jobs[0]: "failed", jobs[1]: "cancelled", jobs[2]: "cancelled", jobs[3]: "cancelled"})


def test_a_held_job_is_released_as_status_says(place: Place) -> None:
    place.submit()
    place.wait_until(lambda states: set(states.values()) == {"done"})
    place.tree.forget("train/sft_math")
    sent = place.run(
        "sbatch", "--parsable", "--hold", "--time=5", "--mem=50", f"--job-name={place.tree.name('train/sft_math')}",
        f"--comment={place.tree.store}", "--output=/dev/null", "--wrap=true",
    )  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    place.wait({"train/sft_math": "held"})
    told = f"held: train/sft_math: JobHeldUser; scontrol release {sent.stdout.strip()}"
    assert told in place.ask("status").stdout.splitlines()
    assert place.run("scontrol", "release", sent.stdout.strip()).returncode == 0
    place.wait({"train/sft_math": "failed"})


def test_the_probed_profile_of_this_cluster_is_fit_for_a_study(slurm: Mapping[str, str], tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project")
    environment = {**slurm, "PYTHONPATH": str(REPOSITORY)}
    probe = [sys.executable, "-m", "compiler.cli", "cluster", "probe", "--name", "here_now"]
    result = project.shell(*probe, environment=environment)
    assert (result.code, result.err) == (0, "")
    facts = json.loads(project.shell(*probe, "--json", environment=environment).out)
    assert facts["partitions"] and all(partition["cpus"] for partition in facts["partitions"])
    (project.root / "specs/catalog/new.yaml").write_text(result.out)
    generic = (REPOSITORY / "specs/catalog/clusters/slurm.yaml").read_text()
    (project.root / "specs/catalog/generic.yaml").write_text(generic)
    environments = (REPOSITORY / "specs/catalog/environments.yaml").read_text()
    (project.root / "specs/catalog/environments.yaml").write_text(environments)
    (project.root / "requirements").symlink_to(REPOSITORY / "requirements")  # the locks of these
    project.edit("toy.yaml", "cluster: here", "cluster: here_now")
    validated = project.lethe("validate", "specs/toy.yaml")
    assert (validated.code, validated.err) == (0, "")
    project.compile()
    script = project.tree / "jobs/train/on_rl_facts_base_nano.sh"
    asked = project.shell("sbatch", "--test-only", str(script), environment=environment)
    assert asked.code == 0, asked.err
