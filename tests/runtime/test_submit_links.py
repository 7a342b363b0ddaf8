"""submit.sh with links: a training that goes in several times over, where Slurm may not start it again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.runtime.asked import answer, ask, calls, note, queue
from tests.runtime.submitting import Cluster
from tests.tree import Tree

LINKS = ["train/x+1", "train/x+2", "train/x"]


def make(folder: Path, executor: str = "slurm") -> Cluster:
    """A training in three links, on one job and before another."""
    tree = Tree(folder / "a 'root'", executor=executor)
    tree.add("prepare/a")
    tree.add("train/x", after=["prepare/a"], links=3)
    tree.add("evaluate/x", after=["train/x"])
    return Cluster.of(tree.close(), folder)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make(tmp_path)


def test_each_link_waits_for_the_end_of_the_one_before_and_who_needs_the_job_for_the_last(cluster: Cluster) -> None:
    result = cluster.submit()
    assert result.returncode == 0, result.stderr
    assert "5 jobs submitted, 0 already queued or running, 0 done, of 5" in result.stderr
    dependencies = [item.get("dependency", "") for item in cluster.all_sent()]
    assert dependencies == ["", "afterok:1", "afterok:1,afterany:2", "afterok:1,afterany:3", "afterok:4"]


def test_a_link_is_told_which_it_is_and_has_a_name_and_a_log_of_its_own(cluster: Cluster) -> None:
    cluster.submit()
    links = cluster.all_sent()[1:4]
    assert [item["export"].rpartition(",")[2] for item in links] == [f"LETHE_LINK={number}/3" for number in (1, 2, 3)]
    name = cluster.tree.name("train/x")
    assert [item["job-name"] for item in links] == [f"{name}.1", f"{name}.2", name]
    assert {item["output"] for item in links} == {f"{cluster.tree.store}/logs/toy/train.x-%j.out"}


def test_what_a_link_left_is_the_next_one_s(cluster: Cluster) -> None:
    cluster.submit()
    cluster.end(1, "COMPLETED")
    cluster.finish("prepare/a")
    cluster.end(2, "FAILED")  # its time was up
    again = cluster.submit()
    assert again.returncode == 0, again.stderr
    assert "0 jobs submitted, 3 already queued or running, 2 done, of 5" in again.stderr
    assert len(cluster.all_sent()) == 5


def test_where_none_is_left_all_go_in_again(cluster: Cluster) -> None:
    cluster.submit()
    cluster.end(1, "COMPLETED")
    cluster.finish("prepare/a")
    for number in (2, 3, 4):
        cluster.end(number, "FAILED")
    again = cluster.submit()
    assert "3 jobs submitted, 1 already queued or running, 1 done, of 5" in again.stderr
    assert [item.get("dependency", "") for item in cluster.all_sent()[5:]] == ["", "afterany:6", "afterany:7"]
    assert cluster.calls("scontrol", "update")[0][2:] == ["jobid=5", "dependency=afterok:8"]


def test_what_feeds_itself_leaves_no_link_behind(cluster: Cluster) -> None:
    """An ended link before one that waits is no failure, which `--only-new` would leave alone with all that needs it."""
    cluster.submit("--max-jobs", "4")
    cluster.end(1, "COMPLETED")
    cluster.finish("prepare/a")
    cluster.end(2, "FAILED")
    result = cluster.submit("--only-new")
    assert result.returncode == 0, result.stderr
    assert "1 jobs submitted, 2 already queued or running" in result.stderr


def test_links_are_chosen_with_their_job(cluster: Cluster) -> None:
    cluster.submit("--select", "train/x")
    assert [event for event in cluster.tree.events() if event[0] == "submitted"] == [
        ("submitted", job) for job in ("prepare/a", *LINKS)
    ]


def test_when_the_job_is_done_no_link_goes_in(cluster: Cluster) -> None:
    cluster.finish("train/x")
    cluster.finish("prepare/a")
    assert "1 jobs submitted" in cluster.submit().stderr


def test_a_dry_run_shows_them(cluster: Cluster) -> None:
    shown = cluster.submit("--dry-run").stdout.splitlines()
    assert [line.count("LETHE_LINK") for line in shown] == [0, 1, 1, 1, 0]
    assert "--dependency=afterok:{prepare/a},afterany:{train/x+2}" in shown[3]


def test_on_this_machine_there_is_one_alone(tmp_path: Path) -> None:
    result = make(tmp_path, "local").submit("--dry-run")
    assert [line.rpartition("/")[2] for line in result.stdout.splitlines()] == ["a.sh", "x.sh", "x.sh"]


@pytest.mark.parametrize("words", ["links 1", "links two"])
def test_a_line_with_a_senseless_number_is_refused(words: str, cluster: Cluster) -> None:
    script = cluster.tree.generated / "submit_all.sh"
    script.write_text(script.read_text().replace("links 3", words))
    cluster.tree.seal()
    result = cluster.submit()
    assert result.returncode == 1 and not cluster.queued()
    assert "is no number of links" in result.stderr and "Compile the study again." in result.stderr


# ---- what people are told -----------------------------------------------------------------------------------------------


@pytest.fixture
def slurm(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path / "root", executor="slurm")
    tree.add("train/x", links=3)
    for program in ("squeue", "sacct", "scancel"):
        answer(tree, program, "")
    tree.close()
    for number, link in enumerate(LINKS, 11):
        note(tree, "submitted", link, number)
    return tree


def state(tree: Tree) -> dict[str, str]:
    [job] = json.loads(ask(tree, "status", "--json").stdout)["jobs"]
    return {key: job[key] for key in ("state", "id", "reason")}


def test_the_link_that_runs_is_what_status_tells_of(slurm: Tree) -> None:
    queue(
        slurm,
        (11, "train/x", "FAILED", "NonZeroExitCode"),
        (12, "train/x", "RUNNING", "None"),
        (13, "train/x", "PENDING", "Dependency"),
    )
    assert state(slurm) == {"state": "running", "id": "12", "reason": ""}


def test_between_two_links_it_waits(slurm: Tree) -> None:
    queue(slurm, (11, "train/x", "FAILED", "NonZeroExitCode"), (13, "train/x", "PENDING", "Dependency"))
    assert state(slurm)["state"] == "waiting"


def test_why_an_early_link_failed_is_why_the_job_did(slurm: Tree) -> None:
    queue(slurm, *((number, "train/x", "FAILED", "NonZeroExitCode") for number in (11, 12, 13)))
    folder = slurm.out("train/x") / "attempts/1"
    folder.mkdir(parents=True)
    (folder.parent / "latest").symlink_to("1")
    attempt = {"lethe": 1, "job": "train/x", "fingerprint": slurm.jobs["train/x"]["fingerprint"], "number": 1, "host": "n1"}
    attempt |= {"slurm": "11", "restarts": 0, "started": "2026-01-31T12:00:00Z", "began": 0.0, "exit_code": 71}
    (folder / "attempt.json").write_text(
        json.dumps(attempt | {"ended": "2026-01-31T13:00:00Z", "why": "OutOfMemory: all of it"})
    )
    assert state(slurm) == {"state": "failed", "id": "13", "reason": "FAILED, OutOfMemory: all of it"}


def test_all_links_are_withdrawn(slurm: Tree) -> None:
    queue(slurm, (12, "train/x", "RUNNING", "None"), (13, "train/x", "PENDING", "Dependency"))
    result = ask(slurm, "cancel", "--yes")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "cancelled: train/x (12, was running)\n"
    assert [call[1:] for call in calls(slurm) if call[0] == "scancel"] == [["13", "12"]]
