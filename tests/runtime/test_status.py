"""`python -m runtime status`: what state each job is in, read from markers, ledger and Slurm."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import EndedEarly
from runtime.operations.status import STATES
from runtime.store import attempts, ledger, markers
from tests.runtime.asked import answer, ask, calls, finish, note, queue
from tests.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return make_tree(tmp_path / "a 'root'", "local")


@pytest.fixture
def slurm(tmp_path: Path) -> Tree:
    tree = make_tree(tmp_path / "root", "slurm")
    for name in ("squeue", "sacct"):
        answer(tree, name, "")
    return tree


def make_tree(root: Path, executor: str) -> Tree:
    tree = Tree(root, executor=executor)
    tree.add("prepare/a")
    tree.add("prepare/b")
    tree.add("train/x", after=["prepare/a", "prepare/b"])
    return tree.close()


def call(tree: Tree, *options: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return ask(tree, "status", *options, environment=environment)


def states(tree: Tree) -> dict[str, Any]:
    document = json.loads(call(tree, "--json").stdout)
    return {job["job"]: job for job in document["jobs"]}


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
        "running: train/x 3/4",
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
    found = states(tree)["train/x"]
    now = tree.jobs["train/x"]["fingerprint"][:12]
    assert (found["state"], found["reason"]) == ("stale", f"the store has 000000000000, this plan makes {now}")


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
    assert document["counts"] == {**dict.fromkeys(STATES, 0), "done": 1, "never": 2}
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
    assert "upstream failed: 1 job: prepare/b failed; submit_all.sh gives it new parents" in lines


def test_what_was_withdrawn_is_not_called_failed(slurm: Tree) -> None:
    queue(slurm, (6, "prepare/b", "FAILED", "NonZeroExitCode"), (9, "train/x", "CANCELLED", "DependencyNeverSatisfied"))
    note(slurm, "submitted", "prepare/a", 4)
    answer(slurm, "sacct", "4|CANCELLED by 1001|0:0\n")
    assert {job: item["state"] for job, item in states(slurm).items()} == {
        "prepare/a": "cancelled",
        "prepare/b": "failed",
        "train/x": "upstream",
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
    answer(slurm, "sacct", "4|OUT_OF_MEMORY|0:125\n")
    found = states(slurm)
    assert found["prepare/a"]["reason"] == "OUT_OF_MEMORY, exit code 0:125"
    assert (found["prepare/b"]["state"], found["prepare/b"]["reason"]) == (
        "unknown", "Slurm has forgotten 5; its log may say why",
    )  # fmt: skip
    assert found["prepare/b"]["log"] == str(slurm.log("prepare/b", 5))
    assert [command[:6] for command in calls(slurm)[1:]] == [["sacct", "-X", "-n", "-P", "-j", "4,5"]]


def test_without_accounting_the_log_is_named(slurm: Tree) -> None:
    (slurm.root.parent / "bin/sacct").unlink()
    note(slurm, "submitted", "prepare/a", 4)
    assert states(slurm)["prepare/a"]["reason"] == "Slurm has forgotten 4; its log may say why"


def test_another_stores_jobs_are_not_ours(slurm: Tree) -> None:
    answer(slurm, "squeue", f"9|{slurm.name('train/x')}|RUNNING|None|/another/store\n")
    assert states(slurm)["train/x"]["state"] == "never"


def test_a_comment_with_bars_in_it_breaks_nothing(slurm: Tree) -> None:
    note(slurm, "submitted", "train/x", 9)
    answer(slurm, "squeue", f"9|{slurm.name('train/x')}|RUNNING|None|set|by|the|site\n")
    assert states(slurm)["train/x"]["state"] == "running"


def test_without_an_answer_of_slurm_the_files_tell_what_they_know(slurm: Tree) -> None:
    (slurm.root.parent / "bin/sacct").unlink()
    finish(slurm, "prepare/a")
    note(slurm, "submitted", "prepare/b", 5)
    (slurm.root.parent / "bin/squeue.fails").touch()
    result = call(slurm)
    assert result.returncode == 3
    assert result.stderr == (
        "note: squeue could not be asked: slurm_load_jobs error: no controller. This is told from files alone\n"
    )
    assert "unknown: prepare/b: submitted as 5; Slurm could not be asked" in result.stdout.splitlines()
    (slurm.root.parent / "bin/squeue").unlink()
    document = json.loads(call(slurm, "--json").stdout)
    assert document["sources"] == ["files"]
    assert document["notes"] == ["there is no squeue here; ask for the status on a machine of the cluster"]
    assert {job["job"]: job["state"] for job in document["jobs"]} == {
        "prepare/a": "done",
        "prepare/b": "unknown",
        "train/x": "never",
    }


def test_accounting_alone_tells_as_well(slurm: Tree) -> None:
    (slurm.root.parent / "bin/squeue").unlink()
    for number, job in enumerate(slurm.jobs, start=1):
        note(slurm, "submitted", job, number)
    answer(slurm, "sacct", "1|FAILED|65:0\n2|RUNNING|0:0\n3|PENDING|0:0\n")
    document = json.loads(call(slurm, "--json").stdout)
    assert document["sources"] == ["files", "sacct"]
    assert [(job["state"], job["exit"]) for job in document["jobs"]] == [("failed", 65), ("running", None), ("queued", None)]


# ---- each state ---------------------------------------------------------------------------------------------------------


def test_a_job_on_hold_says_how_to_release_it(slurm: Tree) -> None:
    queue(slurm, (7, "prepare/a", "PENDING", "JobHeldUser"), (8, "prepare/b", "PENDING", "JobHeldAdmin"))
    assert {item["state"] for item in states(slurm).values()} == {"held", "never"}
    assert "held: prepare/a: JobHeldUser; scontrol release 7" in call(slurm).stdout.splitlines()


def test_upstream_reaches_down_to_the_last_descendant(slurm: Tree) -> None:
    slurm.add("evaluate/y", after=["train/x"])
    slurm.add("report/toy", ended=["evaluate/y"])
    slurm.close()
    queue(
        slurm,
        (1, "prepare/a", "TIMEOUT", "TimeLimit"),
        (2, "prepare/b", "RUNNING", "None"),
        (3, "train/x", "PENDING", "DependencyNeverSatisfied"),
        (4, "evaluate/y", "PENDING", "Dependency"),
        (5, "report/toy", "PENDING", "Dependency"),
    )
    assert {job: item["state"] for job, item in states(slurm).items()} == {
        "prepare/a": "failed",
        "prepare/b": "running",
        "train/x": "upstream",
        "evaluate/y": "upstream",
        "report/toy": "waiting",
    }
    told = "upstream failed: 2 jobs: prepare/a failed; submit_all.sh gives it new parents"
    assert told in call(slurm).stdout.splitlines()


@pytest.mark.parametrize("slurm_says", ["FAILED", "TIMEOUT", None])
def test_what_stopped_before_its_last_step_is_truncated(slurm: Tree, slurm_says: str | None) -> None:
    note(slurm, "submitted", "train/x", 7)
    if slurm_says:
        queue(slurm, (7, "train/x", slurm_says, "None"))
    slurm.out("train/x").mkdir(parents=True)
    error = EndedEarly("the time limit is near", 400, 1000)
    attempts.truncate(slurm.out("train/x"), "train/x", slurm.jobs["train/x"]["fingerprint"], error)
    found = states(slurm)["train/x"]
    assert found["state"] == "truncated"
    assert found["reason"].startswith("400 of 1000 steps")
    assert call(slurm).stdout.splitlines()[0].split() == ["toy", "TRUNCATED", "never"]


def test_a_truncated_training_that_was_submitted_again_is_under_way(slurm: Tree) -> None:
    queue(slurm, (8, "train/x", "PENDING", "Priority"), (7, "train/x", "FAILED", "NonZeroExitCode"))
    slurm.out("train/x").mkdir(parents=True)
    error = EndedEarly("the time limit is near", 400, 1000)
    attempts.truncate(slurm.out("train/x"), "train/x", slurm.jobs["train/x"]["fingerprint"], error)
    assert states(slurm)["train/x"]["state"] == "queued"


def test_the_files_know_how_an_attempt_ended_that_slurm_has_forgotten(slurm: Tree) -> None:
    note(slurm, "submitted", "train/x", 7)
    out = slurm.out("train/x")
    attempts.begin(out, "train/x", slurm.jobs["train/x"]["fingerprint"], {"SLURM_JOB_ID": "7"})
    attempts.end(out, 71, "OutOfMemory: out of memory")
    found = states(slurm)["train/x"]
    assert (found["state"], found["reason"], found["exit"]) == ("failed", "OutOfMemory: out of memory", 71)


def test_an_attempt_of_another_submission_explains_nothing(slurm: Tree) -> None:
    note(slurm, "submitted", "train/x", 8)
    out = slurm.out("train/x")
    attempts.begin(out, "train/x", slurm.jobs["train/x"]["fingerprint"], {"SLURM_JOB_ID": "7"})
    attempts.end(out, 71, "OutOfMemory: out of memory")
    assert states(slurm)["train/x"]["state"] == "unknown"


def test_a_job_that_ended_well_and_left_no_marker_has_failed(slurm: Tree) -> None:
    queue(slurm, (7, "train/x", "COMPLETED", "None"))
    assert states(slurm)["train/x"]["reason"] == "COMPLETED, but left no done-marker"


def test_a_cancelled_job_stays_cancelled_when_slurm_has_forgotten_it(slurm: Tree) -> None:
    note(slurm, "submitted", "train/x", 7)
    note(slurm, "cancelled", "train/x", 7, "lethe cancel")
    assert states(slurm)["train/x"]["state"] == "cancelled"


def test_elements_of_arrays_are_known_by_the_ids_in_the_ledger(slurm: Tree) -> None:
    """Elements share one name, so only the ledger tells which is whose; those that wait may stand in one line."""
    note(slurm, "submitted", "prepare/a", "9_2")
    note(slurm, "submitted", "prepare/b", "9_10")
    note(slurm, "submitted", "train/x", "9_11")
    rows = ["9_2|toy.stage|RUNNING|None|x", "9_[5-10,12%4]|toy.stage|PENDING|JobArrayTaskLimit|x"]
    answer(slurm, "squeue", "\n".join([*rows, ""]))
    answer(slurm, "sacct", "9_11|FAILED|1:0\n")
    found = states(slurm)
    assert {job: item["state"] for job, item in found.items()} == {
        "prepare/a": "running",
        "prepare/b": "queued",
        "train/x": "failed",
    }
    assert [item["id"] for item in found.values()] == ["9_2", "9_10", "9_11"]


def test_the_pace_so_far_tells_when_a_job_ends(slurm: Tree) -> None:
    queue(slurm, (7, "train/x", "RUNNING", "None"))
    slurm.out("train/x").mkdir(parents=True)
    at = time.time()
    told = {"done": 400, "total": 1000, "first_done": 100, "first_at": at - 3000, "at": at}
    (slurm.out("train/x") / "PROGRESS.json").write_text(json.dumps(told))
    progress = states(slurm)["train/x"]["progress"]
    assert (progress["done"], progress["total"]) == (400, 1000)
    assert 5000 < progress["left"] <= 6000
    (line,) = [line for line in call(slurm).stdout.splitlines() if line.startswith("running")]
    assert re.fullmatch(r"running: train/x 400/1000, 1:(39|40):\d\d left", line)


@pytest.mark.parametrize("text", ["{", "[]", '{"done": 1}', '{"done": 1, "total": 0}', '{"done": "x", "total": 2}'])
def test_progress_that_says_nothing_is_left_out(slurm: Tree, text: str) -> None:
    queue(slurm, (7, "train/x", "RUNNING", "None"))
    slurm.out("train/x").mkdir(parents=True)
    (slurm.out("train/x") / "PROGRESS.json").write_text(text)
    assert states(slurm)["train/x"]["progress"] is None


# ---- the matrix ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path: Path) -> Tree:
    """Two methods on two domains from two starts, without one of the eight cells; one shared start model each."""
    tree = Tree(tmp_path / "root", executor="slurm")
    for name in ("squeue", "sacct"):
        answer(tree, name, "")
    for start in ("base", "safe"):
        tree.add(f"pretrain/{start}")
        for method, domain in [("sft", "math"), ("sft", "code"), ("rl", "math"), ("rl", "code")]:
            if (start, method, domain) != ("safe", "rl", "code"):
                tree.add_cell({"method": method, "domain": domain, "start": start}, after=[f"pretrain/{start}"])
    return tree.close()


def test_the_matrix_has_methods_by_domains_and_a_block_for_the_rest(study: Tree) -> None:
    for job in ("pretrain/base", "train/sft_math_base", "evaluate/sft_math_base.math"):
        finish(study, job)
    queue(
        study,
        (1, "train/sft_code_base", "RUNNING", "None"),
        (2, "train/rl_math_base", "FAILED", "NonZeroExitCode"),
        (3, "evaluate/rl_math_base.math", "PENDING", "DependencyNeverSatisfied"),
        (4, "train/rl_code_base", "PENDING", "Dependency"),
        (5, "pretrain/safe", "FAILED", "NonZeroExitCode"),
        (6, "train/sft_math_safe", "PENDING", "DependencyNeverSatisfied"),
    )
    study.out("train/sft_code_base").mkdir(parents=True)
    (study.out("train/sft_code_base") / "PROGRESS.json").write_text('{"done": 3, "total": 4}')
    lines = call(study).stdout.splitlines()
    assert [re.split("  +", line) for line in lines[:7]] == [
        ["start=base", "math", "code"],
        ["sft", "done", "running train 3/4"],
        ["rl", "failed train", "waiting 1/3"],
        [""],
        ["start=safe", "math", "code"],
        ["sft", "upstream pretrain", "upstream pretrain"],
        ["rl", "upstream pretrain", "."],
    ]
    cells = {cell["cell"]: cell for cell in json.loads(call(study, "--json").stdout)["cells"]}
    assert (cells["rl_math_base"]["state"], cells["rl_math_base"]["job"]) == ("failed", "train/rl_math_base")
    assert (cells["sft_math_base"]["done"], cells["sft_math_base"]["total"]) == (3, 3)


def test_only_the_jobs_that_were_asked_for_are_shown(study: Tree, tmp_path: Path) -> None:
    chosen = tmp_path / "chosen"
    chosen.write_text("train/sft_math_base\n")
    finish(study, "train/sft_math_base")
    result = call(study, "--json", "--jobs", str(chosen))
    document = json.loads(result.stdout)
    assert result.returncode == 0
    assert [job["job"] for job in document["jobs"]] == ["train/sft_math_base"]
    assert [cell["cell"] for cell in document["cells"]] == ["sft_math_base"]


# ---- watching -----------------------------------------------------------------------------------------------------------


def test_watching_tells_changes_until_nothing_is_under_way(tree: Tree) -> None:
    sleeper = subprocess.Popen(["sleep", "1"])
    for job in ("prepare/a", "prepare/b"):
        finish(tree, job)
    note(tree, "started", "train/x", sleeper.pid)
    reaper = threading.Thread(target=sleeper.wait)
    reaper.start()
    result = call(tree, "--watch", "0.05")
    reaper.join()
    assert result.returncode == 3
    assert [line.split(" ", 1)[1] for line in result.stdout.splitlines()] == [
        "toy: 2 done, 1 running",
        "toy: 2 done, 1 failed",
    ]


def test_on_a_terminal_the_page_is_drawn_again(tree: Tree) -> None:
    for job in tree.jobs:
        finish(tree, job)
    command = [sys.executable, "-m", "runtime", "status", str(tree.generated / "plan.json"), "--watch", "0.05"]
    drawn = subprocess.run(
        ["script", "--quiet", "--return", "--command", shlex.join(command), "/dev/null"],
        cwd=tree.root, env=tree.environment(), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert drawn.returncode == 0
    assert drawn.stdout.startswith("\033[H\033[2J")
    assert "prepare     2" in drawn.stdout
