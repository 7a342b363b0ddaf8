"""`python -m runtime retry` and `cancel`: what failed goes in again, and what is queued or runs is withdrawn."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.runtime.asked import answer, ask, calls, chosen, finish, note, queue
from tests.tree import Tree

SUBMIT = 'printf "%s\\n" "store=$LETHE_STORE" "$@"\n'


@pytest.fixture
def slurm(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path / "a 'root'", executor="slurm")
    for name in ("a", "b"):
        tree.add(f"prepare/{name}")
        tree.add(f"train/{name}", after=[f"prepare/{name}"])
        tree.add(f"evaluate/{name}", after=[f"train/{name}"])
    for program in ("squeue", "sacct", "scancel"):
        answer(tree, program, "")
    return tree.close()


def broken(tree: Tree) -> None:
    """a: its training failed; b: its training is truncated, and its evaluation runs into that."""
    for job in ("prepare/a", "prepare/b"):
        finish(tree, job)
    note(tree, "submitted", "train/b", 4)
    queue(
        tree,
        (3, "train/a", "FAILED", "NonZeroExitCode"),
        (5, "evaluate/a", "CANCELLED", "DependencyNeverSatisfied"),
        (6, "evaluate/b", "PENDING", "DependencyNeverSatisfied"),
    )
    answer(tree, "sacct", "4|FAILED|75:0\n")


# ---- retry --------------------------------------------------------------------------------------------------------------


def test_what_failed_goes_in_again_with_what_it_holds_up(slurm: Tree) -> None:
    broken(slurm)
    (slurm.generated / "submit_all.sh").write_text(SUBMIT)
    result = ask(slurm, "retry", "--yes")
    assert result.returncode == 0
    assert result.stderr == "toy: 2 jobs (1 failed, 1 truncated) to submit again\n"
    jobs = ["train/a", "train/b", "evaluate/a", "evaluate/b"]
    assert result.stdout.splitlines() == [f"store={slurm.store}", "--yes", *(f"--select={job}" for job in jobs)]


def test_only_what_was_chosen_goes_in_again(slurm: Tree) -> None:
    broken(slurm)
    (slurm.generated / "submit_all.sh").write_text(SUBMIT)
    result = ask(slurm, "retry", "--dry-run", "--jobs", chosen(slurm, "train/a", "prepare/a", "evaluate/b"))
    assert result.stdout.splitlines()[1:] == ["--dry-run", "--select=train/a", "--select=evaluate/a"]


def test_what_was_cancelled_goes_in_again_only_where_it_is_chosen(slurm: Tree) -> None:
    queue(slurm, (3, "train/a", "CANCELLED", "None"))
    (slurm.generated / "submit_all.sh").write_text(SUBMIT)
    result = ask(slurm, "retry")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "toy: there is nothing to retry\n")
    assert "--select=train/a" in ask(slurm, "retry", "--jobs", chosen(slurm, "train/a")).stdout


def test_as_json_the_jobs_are_on_standard_output_alone(slurm: Tree) -> None:
    broken(slurm)
    (slurm.generated / "submit_all.sh").write_text(SUBMIT)
    result = ask(slurm, "retry", "--json")
    assert json.loads(result.stdout) == {
        "lethe": 1, "study": "toy", "retry": ["train/a", "train/b"], "with": ["evaluate/a", "evaluate/b"],
    }  # fmt: skip
    assert "--select=train/a" in result.stderr


def test_the_exit_code_is_that_of_the_submission(slurm: Tree) -> None:
    broken(slurm)
    (slurm.generated / "submit_all.sh").write_text("exit 4\n")
    assert ask(slurm, "retry").returncode == 4


# ---- cancel -------------------------------------------------------------------------------------------------------------


def under_way(tree: Tree) -> None:
    finish(tree, "prepare/a")
    for number, job in enumerate(tree.jobs, start=1):
        note(tree, "submitted", job, number)
    queue(
        tree,
        (2, "train/a", "RUNNING", "None"),
        (3, "evaluate/a", "PENDING", "Dependency"),
        (4, "prepare/b", "PENDING", "Priority"),
        (5, "train/b", "FAILED", "NonZeroExitCode"),
        (6, "evaluate/b", "PENDING", "DependencyNeverSatisfied"),
    )


def cancelled(tree: Tree) -> list[list[str]]:
    return [call[1:] for call in calls(tree) if call[0] == "scancel"]


def test_what_is_in_the_queue_is_withdrawn_dependents_first(slurm: Tree) -> None:
    under_way(slurm)
    result = ask(slurm, "cancel", "--yes")
    assert result.returncode == 0
    assert cancelled(slurm) == [["6", "4", "3", "2"]]
    assert result.stdout.splitlines() == [
        "cancelled: train/a (2, was running)",
        "cancelled: evaluate/a (3, was waiting)",
        "cancelled: prepare/b (4, was queued)",
        "cancelled: evaluate/b (6, was upstream)",
    ]
    assert [job for event, job in slurm.events() if event == "cancelled"] == [
        "evaluate/b",
        "prepare/b",
        "evaluate/a",
        "train/a",
    ]
    answer(slurm, "squeue", "")
    states = {item["job"]: item["state"] for item in json.loads(ask(slurm, "status", "--json").stdout)["jobs"]}
    assert states["train/a"] == "cancelled"


@pytest.mark.parametrize("typed", ["", "n\n", "what?\n"])
def test_without_a_yes_nothing_is_withdrawn(slurm: Tree, typed: str) -> None:
    under_way(slurm)
    result = ask(slurm, "cancel", typed=typed)
    assert (result.returncode, result.stdout, cancelled(slurm)) == (1, "", [])
    assert "toy: cancel 4 jobs (1 running, 1 waiting, 1 queued, 1 upstream)? [y/N]" in result.stderr
    assert "nothing was cancelled" in result.stderr


def test_a_yes_withdraws_and_what_is_left_behind_is_told_before(slurm: Tree) -> None:
    under_way(slurm)
    result = ask(slurm, "cancel", "--jobs", chosen(slurm, "train/a"), typed="y\n")
    assert "cancel 1 job (1 running); 1 more wait for these, and can never start then? [y/N]" in result.stderr
    assert cancelled(slurm) == [["2"]]


def test_the_job_that_submits_the_rest_goes_first_when_all_is_cancelled(slurm: Tree) -> None:
    answer(
        slurm, "squeue", f"9|toy.feed|PENDING|BeginTime|{slurm.store}\n8|{slurm.name('train/a')}|RUNNING|None|{slurm.store}\n"
    )
    ask(slurm, "cancel", "--yes", "--jobs", chosen(slurm, "prepare/a"))
    assert cancelled(slurm) == []
    ask(slurm, "cancel", "--yes")
    assert cancelled(slurm) == [["9", "8"]]


def test_as_json_it_says_what_was_cancelled(slurm: Tree) -> None:
    under_way(slurm)
    result = ask(slurm, "cancel", "--yes", "--json", "--jobs", chosen(slurm, "train/a"))
    assert json.loads(result.stdout)["cancelled"] == [{"job": "train/a", "id": "2", "was": "running"}]


def test_what_slurm_refuses_is_one_message_and_noted_nowhere(slurm: Tree) -> None:
    under_way(slurm)
    (slurm.root.parent / "bin/scancel.fails").touch()
    result = ask(slurm, "cancel", "--yes")
    assert result.returncode == 1
    assert result.stderr.startswith("scancel: slurm_load_jobs error: no controller; 0 of 4 jobs are cancelled")
    assert "cancelled" not in [event for event, _ in slurm.events()]


def test_when_slurm_cannot_be_asked_nothing_is_cancelled(slurm: Tree) -> None:
    under_way(slurm)
    (slurm.root.parent / "bin/squeue.fails").touch()
    result = ask(slurm, "cancel", "--yes")
    assert (result.returncode, cancelled(slurm)) == (1, [])
    assert "squeue could not be asked" in result.stderr and "nothing was cancelled" in result.stderr


def test_a_study_of_this_machine_is_cancelled_where_it_runs(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root")
    tree.add("train/x")
    result = ask(tree.close(), "cancel", "--yes")
    assert (result.returncode, result.stderr) == (1, "toy runs on this machine: press Ctrl-C where its submit_all.sh runs\n")


# ---- logs and replay ----------------------------------------------------------------------------------------------------


def test_the_log_of_the_last_attempt_is_shown(slurm: Tree) -> None:
    for number in (3, 12):
        note(slurm, "submitted", "train/a", number)
        path = slurm.log("train/a", number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"one\ntwo {number}\n")
    result = ask(slurm, "logs", "train/a")
    assert (result.returncode, result.stdout) == (0, "one\ntwo 12\n")
    assert result.stderr == f"train/a: {slurm.log('train/a', 12)}\n"
    assert ask(slurm, "logs", "--lines", "1", "train/a").stdout == "two 12\n"
    assert json.loads(ask(slurm, "logs", "--json", "train/a").stdout)["text"] == "one\ntwo 12\n"


def test_a_log_is_followed_as_it_grows(slurm: Tree) -> None:
    note(slurm, "submitted", "train/a", 3)
    path = slurm.log("train/a", 3)
    path.parent.mkdir(parents=True)
    path.write_text("one\n")
    command = ["python", "-m", "runtime", "logs", str(slurm.generated / "plan.json"), "train/a", "--follow"]
    process = subprocess.Popen(command, cwd=slurm.root, env=slurm.environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "one\n"
    with path.open("a") as file:
        file.write("two\n")
    assert process.stdout.readline() == "two\n"
    process.terminate()
    process.wait()
    process.stdout.close()


def test_a_job_without_a_log_is_one_message(slurm: Tree) -> None:
    result = ask(slurm, "logs", "train/a")
    assert result.returncode == 1
    assert "train/a has no log yet; it would be" in result.stderr


def test_a_cell_stands_for_the_job_that_tells_most_of_it(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root")
    tree.add_cell({"method": "sft", "domain": "math"}, after=[])
    tree.close()
    finish(tree, "train/sft_math")
    note(tree, "started", "evaluate/sft_math.math", 1)
    note(tree, "failed", "evaluate/sft_math.math", 1, "exit code 1")
    path = tree.log("evaluate/sft_math.math")
    path.parent.mkdir(parents=True)
    path.write_text("why\n")
    assert ask(tree, "logs", "sft_math").stdout == "why\n"
    assert json.loads(ask(tree, "replay", "--json", "sft_math").stdout)["job"] == "evaluate/sft_math.math"


def test_a_name_that_is_nothing_gets_the_nearest(slurm: Tree) -> None:
    result = ask(slurm, "replay", "tarin/a")
    assert (result.returncode, result.stderr) == (1, "toy has no job or cell 'tarin/a'; did you mean 'train/a'?\n")


def test_the_replayed_command_runs_the_job_whatever_the_folders_are_called(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "a 'root' $HOME \"x\";touch y")
    tree.add("prepare/a")
    tree.close()
    store = tmp_path / "the `store` \\ *"
    command = ask(tree, "replay", "prepare/a", "--store", str(store))
    assert command.stderr == ""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        ["sh", "-c", command.stdout], cwd=elsewhere, env=tree.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (store / tree.out("prepare/a").relative_to(tree.store) / "DONE.json").exists()
    assert list(elsewhere.iterdir()) == []


def test_what_is_to_be_known_before_a_replay_goes_beside(slurm: Tree) -> None:
    finish(slurm, "prepare/a")
    result = ask(slurm, "replay", "evaluate/a")
    assert "note: it stops at once, since these are not done: train/a" in result.stderr
    assert "note: it needs what its script asks for; on a login node first: salloc --time=5 --mem=100" in result.stderr
    assert "it is done, and ends at once; to make it again, move" in ask(slurm, "replay", "prepare/a").stderr
    assert len(result.stdout.splitlines()) == 1
