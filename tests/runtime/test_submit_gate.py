"""submit.sh of a study behind a gate: its canary goes in first, and what the options mean for the two."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runtime.simulate.slurm import Job
from tests.runtime.submitting import Cluster, name_of, options_of
from tests.tree import Tree

CANARY = ["train/tiny", "report/toy-canary"]
STUDY = ["prepare/x", "train/a", "train/b", "evaluate/a", "report/toy"]


def make(folder: Path, switches: str = "") -> Cluster:
    """A study with an array that waits for nothing, and its canary of two jobs."""
    canary = Tree(folder / "canary", executor="slurm", study="toy-canary")
    canary.add("train/tiny")
    canary.add("report/toy-canary", after=["train/tiny"])
    tree = Tree(folder / "a 'root'", executor="slurm")
    tree.add("prepare/x")
    tree.add("train/a")
    tree.add("train/b")
    tree.add("evaluate/a", after=["train/a", "prepare/x"])
    tree.add("report/toy", ended=["evaluate/a", "train/b"])
    tree.array("train", {0: "train/a", 1: "train/b"})
    tree.lines.insert(0, "gate toy-canary")
    shutil.copytree(canary.close(switches).generated, tree.root / "generated/toy-canary")
    tree.jobs.update(canary.jobs)
    return Cluster.of(tree.close(switches), folder)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make(tmp_path)


def queued(cluster: Cluster, study: str) -> dict[str, Job]:
    """What Slurm has of a study, by job; the newest where there are several. A job that goes on by itself is STUDY/feed."""
    return {name_of(job): job for job in cluster.queued() if job.name.startswith(f"{study}.")}


def asked(cluster: Cluster) -> dict[str, str]:
    """What each sbatch was told to wait for, by the stem of its script."""
    calls = cluster.calls("sbatch")
    return {Path(call[-1]).stem.partition("-")[0]: options_of(call).get("dependency", "") for call in calls}


def test_single_jobs_and_arrays_that_could_start_wait_for_the_gates_report(cluster: Cluster) -> None:
    result = cluster.submit()
    assert result.returncode == 0, result.stderr
    report = queued(cluster, "toy-canary")["report/toy-canary"].id
    sent = asked(cluster)
    assert (sent["x"], sent["train"]) == (f"afterok:{report}", f"afterok:{report}")
    assert str(report) not in sent["a"].replace(":", " ").split()
    assert f"afterok:{report}," in sent["toy"] and "afterany:" in sent["toy"]
    assert not any(job.held for job in cluster.queued())


def test_a_second_run_adopts_both(cluster: Cluster) -> None:
    cluster.submit()
    before = len(cluster.calls("sbatch"))
    result = cluster.submit()
    assert result.returncode == 0 and len(cluster.calls("sbatch")) == before
    assert "0 jobs submitted, 5 already queued or running, 0 done, of 5" in result.stderr
    assert not cluster.calls("scontrol", "update")


def test_an_element_of_an_array_gets_the_gate_that_goes_in_again(cluster: Cluster) -> None:
    cluster.submit()
    cluster.end(queued(cluster, "toy-canary")["report/toy-canary"].id, "FAILED")
    assert cluster.submit().returncode == 0
    again = queued(cluster, "toy-canary")["report/toy-canary"].id
    waiting = [job for job in cluster.queued() if job.name.startswith("toy.train") and job.state == "PENDING"]
    assert len(waiting) == 2 and all(again in job.waits for job in waiting)


def test_a_choice_is_of_the_study_and_its_canary_goes_in_whole(cluster: Cluster) -> None:
    assert cluster.submit("--select", "prepare/*").returncode == 0
    assert list(queued(cluster, "toy-canary")) == CANARY
    assert list(queued(cluster, "toy")) == ["prepare/x"]


def test_asking_about_resources_sends_no_canary(cluster: Cluster) -> None:
    result = cluster.submit("--test-only")
    assert result.returncode == 0, result.stderr
    assert not cluster.queued() and "toy-canary" not in result.stderr + result.stdout
    assert not (cluster.tree.store / "ledger").exists()


@pytest.mark.parametrize(("most", "sent"), [("1", (1, 0)), ("2", (2, 0)), ("3", (2, 1)), ("7", (2, 5))])
def test_the_canarys_jobs_count_toward_the_bound(cluster: Cluster, most: str, sent: tuple[int, int]) -> None:
    result = cluster.submit("--max-jobs", most)
    assert result.returncode == (0 if sum(sent) == len(CANARY) + len(STUDY) else 4), result.stderr
    found = [job.name.partition(".")[0] for job in cluster.queued()]
    assert (found.count("toy-canary"), found.count("toy")) == sent


def test_a_canary_that_failed_is_left_alone_with_all_that_waits_for_it(cluster: Cluster) -> None:
    cluster.submit("--max-jobs", "2")
    for job in queued(cluster, "toy-canary").values():
        cluster.end(job.id, "FAILED")
    result = cluster.submit("--only-new")
    assert result.returncode == 1 and queued(cluster, "toy") == {}
    assert "toy-canary was submitted before and failed, and --only-new leaves it alone" in result.stderr


def test_a_gate_of_another_store_is_not_taken_for_ours(cluster: Cluster, tmp_path: Path) -> None:
    cluster.submit(LETHE_STORE=str(tmp_path / "other"))
    other = queued(cluster, "toy-canary")["report/toy-canary"].id
    assert cluster.submit().returncode == 0
    ours = queued(cluster, "toy-canary")["report/toy-canary"].id
    assert ours != other and asked(cluster)["x"] == f"afterok:{ours}"


def test_a_dry_run_shows_the_id_of_a_canary_that_is_under_way(cluster: Cluster) -> None:
    cluster.submit("--max-jobs", "2")
    report = queued(cluster, "toy-canary")["report/toy-canary"].id
    before = len(cluster.queued())
    result = cluster.submit("--dry-run")
    assert result.returncode == 0 and len(cluster.queued()) == before
    assert f"# report/toy-canary is under way: {report}" in result.stdout
    assert f"--dependency=afterok:{report} --hold" in result.stdout


def test_fed_through_a_small_queue_the_canary_goes_first_and_every_job_once(tmp_path: Path) -> None:
    cluster = make(tmp_path, "most_submitted=3")
    result = cluster.submit("--feed")
    assert result.returncode == 4, result.stderr
    feeder = queued(cluster, "toy-canary")["toy-canary/feed"].id
    assert list(queued(cluster, "toy")) == ["toy/feed"]
    assert queued(cluster, "toy")["toy/feed"].waits == {feeder: "afterany"}
    assert "goes on by itself when there is room." in result.stderr
    for _ in [*CANARY, *STUDY]:
        cluster.work_off()
        if cluster.submit("--yes", "--feed", "--only-new").returncode == 0:
            break
    cluster.work_off()
    assert [name for job in cluster.queued() if not (name := name_of(job)).endswith("/feed")] == [*CANARY, *STUDY]
