"""`python -m runtime status`: what state each job is in, read from markers, ledger and Slurm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runtime import ledger, markers
from tests.tree import Tree

COMMAND = """#!{python} -SE
import json, pathlib, sys
here = pathlib.Path(__file__)
(here.parent / "calls").open("a").write(json.dumps([here.name, *sys.argv[1:]]) + "\\n")
print(here.with_suffix(".out").read_text(), end="")
sys.exit("slurm_load_jobs error: no controller" if here.with_suffix(".fails").exists() else 0)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return make_tree(tmp_path / "a 'root'", "local")


@pytest.fixture
def slurm(tmp_path: Path) -> Tree:
    (tmp_path / "bin").mkdir()
    for name in ("squeue", "sacct"):
        answer(tmp_path, name, "")
    return make_tree(tmp_path / "root", "slurm")


def make_tree(root: Path, executor: str) -> Tree:
    tree = Tree(root, executor=executor)
    tree.add("prepare/a")
    tree.add("prepare/b")
    tree.add("train/x", after=["prepare/a", "prepare/b"])
    return tree.close()


def answer(folder: Path, name: str, text: str) -> None:
    """Make the command `name` print `text`."""
    path = folder / "bin" / name
    path.write_text(COMMAND.format(python=sys.executable))
    path.chmod(0o755)
    path.with_suffix(".out").write_text(text)


def calls(tree: Tree) -> list[list[str]]:
    path = tree.root.parent / "bin/calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def call(tree: Tree, *options: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    path = f"{tree.root.parent / 'bin'}:/nowhere"
    return subprocess.run(
        [sys.executable, "-m", "runtime", "status", str(tree.generated / "plan.json"), *options],
        cwd=tree.root,
        env={**tree.environment(), "PATH": path, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def states(tree: Tree) -> dict[str, Any]:
    document = json.loads(call(tree, "--json").stdout)
    return {job["job"]: job for job in document["jobs"]}


def finish(tree: Tree, job: str) -> None:
    tree.out(job).mkdir(parents=True)
    fingerprint = tree.jobs[job]["fingerprint"]
    markers.write(tree.out(job), markers.Marker(job, "prepare", "traces", fingerprint, {}, None, markers.now()))


def note(tree: Tree, event: str, job: str, number: int, why: str = "") -> None:
    path = ledger.path_of(tree.store, tree.study)
    ledger.append(path, event, job, tree.jobs[job]["fingerprint"], number, why)


def queue(tree: Tree, *rows: tuple[int, str, str, str]) -> None:
    """Let squeue know these jobs: id, job, state, reason."""
    lines = [f"{number}|{tree.name(job)}|{state}|{reason}|{tree.store}" for number, job, state, reason in rows]
    answer(tree.root.parent, "squeue", "\n".join([*lines, ""]))


# ---- this machine -------------------------------------------------------------------------------------------------------


def test_a_study_that_nobody_ran_was_never_submitted(tree: Tree) -> None:
    result = call(tree)
    assert result.returncode == 3
    assert result.stdout.splitlines() == ["toy      never", "prepare      2", "train        1", "all          3"]


def test_a_study_that_is_done_is_exit_0(tree: Tree) -> None:
    for job in tree.jobs:
        finish(tree, job)
    result = call(tree)
    assert result.returncode == 0
    assert result.stdout.splitlines() == ["toy      done", "prepare     2", "train       1", "all         3"]


def test_states_of_a_run_on_this_machine(tree: Tree) -> None:
    finish(tree, "prepare/a")
    note(tree, "started", "prepare/b", 12)
    note(tree, "failed", "prepare/b", 12, "exit code 1")
    note(tree, "started", "train/x", os.getpid())
    tree.out("train/x").mkdir(parents=True)
    (tree.out("train/x") / "PROGRESS.json").write_text('{"done": 3, "total": 4}')
    lines = call(tree).stdout.splitlines()
    assert lines[0].split() == ["toy", "done", "running", "failed"]
    assert lines[3].split() == ["all", "1", "1", "1"]
    assert lines[4:] == [
        "running: train/x 75%",
        "failed: prepare/b: exit code 1",
        f"    log: {tree.log('prepare/b')}",
    ]


def test_a_job_whose_process_vanished_has_failed(tree: Tree) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    note(tree, "started", "train/x", gone.pid)
    found = states(tree)["train/x"]
    assert (found["state"], found["reason"]) == ("failed", "ended without a word: killed, or the machine went down")


def test_an_artifact_that_was_purged_is_no_longer_done(tree: Tree) -> None:
    note(tree, "done", "train/x", 12)
    assert states(tree)["train/x"]["reason"] == "its artifact is gone from the store"


def test_another_fingerprint_is_another_job(tree: Tree) -> None:
    path = ledger.path_of(tree.store, tree.study)
    ledger.append(path, "failed", "train/x", "0" * 64, 12, "exit code 1")
    tree.out("train/x").mkdir(parents=True)
    markers.write(tree.out("train/x"), markers.Marker("train/x", "train", "traces", "0" * 64, {}, None, markers.now()))
    assert states(tree)["train/x"]["state"] == "never"


def test_the_store_is_the_options_then_the_variables_then_the_plans(tree: Tree, tmp_path: Path) -> None:
    finish(tree, "train/x")
    elsewhere = str(tmp_path / "elsewhere")
    assert "done" in call(tree).stdout
    assert "done" not in call(tree, environment={"LETHE_STORE": elsewhere}).stdout
    assert "done" in call(tree, "--store", str(tree.store), environment={"LETHE_STORE": elsewhere}).stdout


def test_a_store_may_be_relative_to_the_root(tree: Tree) -> None:
    finish(tree, "train/x")
    plan = tree.generated / "plan.json"
    plan.write_text(plan.read_text().replace('"store": "store"', '"store": "$LETHE_ROOT/store"'))
    assert "done" in call(tree).stdout


def test_a_store_that_this_shell_does_not_know_is_asked_for(tree: Tree) -> None:
    plan = tree.generated / "plan.json"
    plan.write_text(plan.read_text().replace('"store": "store"', '"store": "$SCRATCH_OF_NOBODY/lethe"'))
    result = call(tree)
    assert result.returncode == 1
    assert "pass --store or set LETHE_STORE" in result.stderr


@pytest.mark.parametrize(("text", "message"), [("{}", "not a plan ('study')"), ("{", "not a plan"), (None, "cannot read")])
def test_a_plan_that_is_none_is_refused(tree: Tree, text: str | None, message: str) -> None:
    plan = tree.generated / "plan.json"
    plan.unlink() if text is None else plan.write_text(text)
    result = call(tree)
    assert result.returncode == 1
    assert message in result.stderr


def test_the_json_has_every_job_and_the_counts(tree: Tree) -> None:
    finish(tree, "prepare/a")
    document = json.loads(call(tree, "--json").stdout)
    assert (document["lethe"], document["study"], document["store"]) == (1, "toy", str(tree.store))
    assert document["counts"] == {
        "done": 1,
        "running": 0,
        "queued": 0,
        "waiting": 0,
        "failed": 0,
        "cancelled": 0,
        "never": 2,
    }
    assert [job["job"] for job in document["jobs"]] == list(tree.jobs)


# ---- Slurm --------------------------------------------------------------------------------------------------------------


def test_slurm_is_asked_once_for_what_is_under_way(slurm: Tree) -> None:
    queue(
        slurm,
        (7, "prepare/a", "RUNNING", "None"),
        (8, "prepare/b", "PENDING", "Resources"),
        (9, "train/x", "PENDING", "Dependency"),
    )
    found = states(slurm)
    assert {job: item["state"] for job, item in found.items()} == {
        "prepare/a": "running",
        "prepare/b": "queued",
        "train/x": "waiting",
    }
    assert found["prepare/a"]["log"] == str(slurm.log("prepare/a", 7))
    assert [command[0] for command in calls(slurm)] == ["squeue"]


def test_nobody_is_asked_when_all_is_done(slurm: Tree) -> None:
    for job in slurm.jobs:
        finish(slurm, job)
    assert call(slurm).returncode == 0
    assert calls(slurm) == []


def test_a_job_that_can_never_start_says_what_helps(slurm: Tree) -> None:
    queue(slurm, (6, "prepare/b", "FAILED", "NonZeroExitCode"), (9, "train/x", "PENDING", "DependencyNeverSatisfied"))
    lines = call(slurm).stdout.splitlines()
    assert "failed: prepare/b: FAILED, NonZeroExitCode" in lines
    assert "waiting: train/x: a job that it needs has failed; submit_all.sh gives it new parents" in lines


def test_what_was_withdrawn_is_not_called_failed(slurm: Tree) -> None:
    queue(slurm, (6, "prepare/b", "FAILED", "NonZeroExitCode"), (9, "train/x", "CANCELLED", "DependencyNeverSatisfied"))
    note(slurm, "submitted", "prepare/a", 4)
    answer(slurm.root.parent, "sacct", "4|CANCELLED by 1001|0:0\n")
    assert {job: item["state"] for job, item in states(slurm).items()} == {
        "prepare/a": "cancelled",
        "prepare/b": "failed",
        "train/x": "cancelled",
    }
    assert [line for line in call(slurm).stdout.splitlines() if line.startswith("failed")] == [
        "failed: prepare/b: FAILED, NonZeroExitCode"
    ]


def test_of_several_attempts_the_newest_counts(slurm: Tree) -> None:
    queue(slurm, (10, "train/x", "RUNNING", "None"), (9, "train/x", "TIMEOUT", "TimeLimit"))
    assert states(slurm)["train/x"]["state"] == "running"


def test_what_slurm_forgot_is_asked_of_its_accounting_once(slurm: Tree) -> None:
    note(slurm, "submitted", "prepare/a", 4)
    note(slurm, "submitted", "prepare/b", 5)
    answer(slurm.root.parent, "sacct", "4|OUT_OF_MEMORY|0:125\n")
    found = states(slurm)
    assert found["prepare/a"]["reason"] == "OUT_OF_MEMORY, exit code 0:125"
    assert found["prepare/b"]["reason"] == "Slurm has forgotten it; its log may say why"
    assert found["prepare/b"]["log"] == str(slurm.log("prepare/b", 5))
    assert [command[:6] for command in calls(slurm)[1:]] == [["sacct", "-X", "-n", "-P", "-j", "4,5"]]


def test_without_accounting_the_log_is_named(slurm: Tree) -> None:
    (slurm.root.parent / "bin/sacct").unlink()
    note(slurm, "submitted", "prepare/a", 4)
    assert states(slurm)["prepare/a"]["reason"] == "Slurm has forgotten it; its log may say why"


def test_another_stores_jobs_are_not_ours(slurm: Tree) -> None:
    answer(slurm.root.parent, "squeue", f"9|{slurm.name('train/x')}|RUNNING|None|/another/store\n")
    assert states(slurm)["train/x"]["state"] == "never"


def test_a_comment_with_bars_in_it_breaks_nothing(slurm: Tree) -> None:
    note(slurm, "submitted", "train/x", 9)
    answer(slurm.root.parent, "squeue", f"9|{slurm.name('train/x')}|RUNNING|None|set|by|the|site\n")
    assert states(slurm)["train/x"]["state"] == "running"


def test_slurm_out_of_reach_is_one_message(slurm: Tree) -> None:
    (slurm.root.parent / "bin/squeue.fails").touch()
    result = call(slurm)
    assert result.returncode == 1
    assert "squeue could not be asked: slurm_load_jobs error: no controller" in result.stderr
    (slurm.root.parent / "bin/squeue").unlink()
    result = call(slurm)
    assert result.returncode == 1
    assert "there is no squeue here" in result.stderr
