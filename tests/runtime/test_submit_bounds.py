"""submit.sh where not everything goes in at once: bounds, a choice of jobs, a job that goes on by itself; and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.submitting import Cluster
from tests.tree import Tree

SOON = {"LETHE_RETRY_SECONDS": "0"}


def make(folder: Path, switches: str = "") -> Cluster:
    """Two chains of three jobs, and a report that waits for both."""
    tree = Tree(folder / "a 'root'", executor="slurm")
    for letter in "ab":
        tree.add(f"prepare/{letter}")
        tree.add(f"train/{letter}", after=[f"prepare/{letter}"])
        tree.add(f"evaluate/{letter}", after=[f"train/{letter}"])
    tree.add("report/toy", ended=["evaluate/a", "evaluate/b"])
    return Cluster.of(tree.close(switches), folder)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make(tmp_path)


# ---- bounds -------------------------------------------------------------------------------------------------------------


def test_the_first_jobs_go_in_are_released_and_the_next_run_goes_on(cluster: Cluster) -> None:
    result = cluster.submit("--max-jobs", "2")
    assert result.returncode == 4
    assert "submit: 5 jobs are left: no more than 2 were to go in now. Run this again: it goes on from there." in result.stderr
    assert sorted(cluster.jobs()) == ["prepare/a", "train/a"]
    assert not any(job.held for job in cluster.queued())
    assert cluster.submit("--max-jobs=2").returncode == 4
    assert cluster.submit("--max-jobs=9").returncode == 0
    assert len(cluster.queued()) == 7


def test_what_the_user_has_in_the_queue_counts_against_the_clusters_bound(tmp_path: Path) -> None:
    cluster = make(tmp_path, "most_submitted=3")
    assert cluster.submit().returncode == 4
    result = cluster.submit()
    assert result.returncode == 4
    assert "0 jobs submitted, 3 already queued or running" in result.stderr
    assert "4 jobs are left: this cluster lets you have 3 in the queue, and that is full" in result.stderr
    cluster.work_off()
    assert "3 jobs submitted, 0 already queued or running, 3 done, of 7" in cluster.submit().stderr


def test_what_slurm_does_not_take_any_more_is_left_for_later_and_the_rest_runs(cluster: Cluster) -> None:
    result = cluster.submit(FAKE_SLURM_MOST="3")
    assert result.returncode == 4
    assert "4 jobs are left: no more of your jobs fit into the queue" in result.stderr
    assert cluster.jobs()["prepare/a"].reason == "Priority"


@pytest.mark.parametrize("words", [["--max-jobs"], ["--max-jobs", "0"], ["--max-jobs=many"], ["--select"]])
def test_options_without_sense_are_told(cluster: Cluster, words: list[str]) -> None:
    result = cluster.submit(*words)
    assert (result.returncode, cluster.calls()) == (1, [])
    assert words[0].partition("=")[0] in result.stderr


def test_on_this_machine_there_is_no_queue_to_bound(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root")
    tree.add("prepare/a")
    assert "--max-jobs are for Slurm; toy runs on this machine" in tree.close().submit("--max-jobs=1").stderr


# ---- a job that goes on by itself ---------------------------------------------------------------------------------------


def test_a_small_job_goes_on_when_there_is_room(tmp_path: Path) -> None:
    cluster = make(tmp_path, "most_submitted=4")
    result = cluster.submit("--feed")
    assert "Job 4 goes on by itself when there is room." in result.stderr
    (call,) = [call for call in cluster.calls("sbatch") if "--job-name=toy.feed" in call]
    assert call[-1] == str(cluster.tree.generated / "feed.sh")
    assert "--dependency=afterany:1" in call, "only what needs no other job is sure to end"
    assert cluster.calls()[-1][:2] == ["scontrol", "release"]


def test_it_passes_on_what_it_was_told(tmp_path: Path) -> None:
    cluster = make(tmp_path)
    cluster.submit("--feed", "--max-jobs=1", "--select=train/*")
    call = cluster.calls("sbatch")[-1]
    assert call[-3:] == [str(cluster.tree.generated / "feed.sh"), "--select=train/*", "--max-jobs=1"]


def test_there_is_one_such_job_at_a_time_and_none_where_all_is_in(tmp_path: Path) -> None:
    cluster = make(tmp_path, "most_submitted=4")
    cluster.submit("--feed")
    assert "Job 4 goes on by itself" in cluster.submit("--feed").stderr
    assert len(cluster.calls("sbatch")) == 4
    other = make(tmp_path / "other")
    assert other.submit("--feed").returncode == 0
    assert len(other.calls("sbatch")) == 7


def test_fed_to_the_end_every_job_is_submitted_once(tmp_path: Path) -> None:
    cluster = make(tmp_path, "most_submitted=3")
    for _ in range(7):
        code = cluster.submit("--yes", "--feed", "--only-new").returncode
        cluster.work_off()
        if code == 0:
            break
    names = [job.name for job in cluster.queued() if job.name != "toy.feed"]
    assert sorted(names) == sorted(cluster.tree.name(job) for job in cluster.tree.jobs)


def test_what_failed_is_left_alone_with_what_needs_it_and_the_report_comes_all_the_same(cluster: Cluster) -> None:
    cluster.submit("--max-jobs=4")
    cluster.work_off("prepare/b", "train/a")
    result = cluster.submit("--only-new")
    assert result.returncode == 0
    assert "submit: 2 failed before and were left alone, with 3 that need them" in result.stderr
    assert cluster.jobs()["report/toy"].waits == {}


# ---- a choice -----------------------------------------------------------------------------------------------------------


def test_a_choice_brings_what_it_still_needs(cluster: Cluster) -> None:
    cluster.finish("prepare/b")
    result = cluster.submit("--select", "train/?")
    assert "3 jobs submitted, 0 already queued or running, 1 done, of 4" in result.stderr
    assert sorted(cluster.jobs()) == ["prepare/a", "train/a", "train/b"]
    assert "dependency" not in cluster.sent("train/b")


def test_choices_add_up(cluster: Cluster) -> None:
    cluster.submit("--select=prepare/a", "--select=prepare/b")
    assert sorted(cluster.jobs()) == ["prepare/a", "prepare/b"]


def test_what_waits_for_a_chosen_job_gets_it_although_it_was_not_chosen(cluster: Cluster) -> None:
    cluster.submit()
    cluster.fail("train/a")
    assert "1 jobs submitted" in cluster.submit("--select=train/a").stderr
    assert cluster.calls("scontrol", "update") == [["scontrol", "update", "jobid=3", "dependency=afterok:8"]]


def test_a_choice_of_nothing_is_told(cluster: Cluster) -> None:
    result = cluster.submit("--select=train/z*")
    assert (result.returncode, cluster.calls()) == (1, [])
    assert "--select 'train/z*': no job of toy has such an id" in result.stderr


# ---- questions and refusals ---------------------------------------------------------------------------------------------


def test_slurm_is_asked_about_one_job_of_each_kind_of_resources(cluster: Cluster) -> None:
    script = cluster.tree.generated / "jobs/train/b.sh"
    script.write_text(script.read_text().replace("--mem=100", "--mem=900"))
    cluster.tree.seal()
    result = cluster.submit("--test-only")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "6 jobs such as prepare/a"
    assert lines[1] == "  ask for  --time=5 --mem=100 --open-mode=append"
    assert lines[2].startswith("  taken    Job 1 to start at ")
    assert lines[3] == "1 jobs such as train/b"
    assert "Slurm takes 2 of 2 kinds of jobs; nothing was submitted" in result.stderr
    assert not cluster.tree.store.exists()


def test_a_kind_that_slurm_would_not_take_is_explained(cluster: Cluster) -> None:
    result = cluster.submit("--test-only", FAKE_SLURM_WORDS="Invalid account or account/partition combination specified")
    assert result.returncode == 1
    assert "refused  sbatch: error: Invalid account" in result.stdout
    assert "Set `account` of the cluster" in result.stdout


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("Invalid account or account/partition combination specified", "the account does not exist"),
        ("Invalid partition name specified", "this cluster has no such partition"),
        ("Invalid qos specification", "the QOS does not exist or is not yours"),
        ("Requested time limit is invalid (missing or exceeds some limit)", "more time than its partition gives"),
        ("Invalid generic resource (gres) specification", "this cluster has no such kind of GPU"),
        ("Memory specification can not be satisfied", "more memory than"),
        ("Requested node configuration is not available", "no node of that partition has what the job asks for"),
        ("QOSMaxCpuPerUserLimit", "it asks for more than your account or QOS allows"),
        ("Unable to read the stars", "for a reason that is in its words alone"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(cluster: Cluster, words: str, cause: str) -> None:
    result = cluster.submit(FAKE_SLURM_AT="2", FAKE_SLURM_FAULT="refuse", FAKE_SLURM_WORDS=words)
    assert result.returncode == 4
    assert f"sbatch did not take train/a: {cause}" in result.stderr.replace("the job asks for ", "")
    assert f"Slurm's words: sbatch: error: Batch job submission failed: {words}" in result.stderr
    assert "run this again" in result.stderr


def test_a_job_whose_answer_got_lost_is_looked_for_and_found(cluster: Cluster) -> None:
    result = cluster.submit(FAKE_SLURM_AT="2", FAKE_SLURM_FAULT="lost", **SOON)
    assert result.returncode == 0
    assert "submit: train/a had arrived all the same, as 2" in result.stderr
    assert len(cluster.queued()) == 7
    assert len([call for call in cluster.calls("squeue") if any(word.startswith("--name=") for word in call)]) == 1


def test_an_answer_that_did_not_come_because_nothing_arrived_is_asked_for_again(cluster: Cluster) -> None:
    words = "Unable to contact slurm controller (connect failure)"
    result = cluster.submit(FAKE_SLURM_AT="2", FAKE_SLURM_FAULT="refuse", FAKE_SLURM_WORDS=words, **SOON)
    assert result.returncode == 0
    assert f"submit: train/a: sbatch: error: Batch job submission failed: {words} (try 1 of 4)" in result.stderr
    assert len(cluster.queued()) == 7


def test_when_nobody_answers_any_more_it_stops_and_the_next_run_finds_the_job(cluster: Cluster) -> None:
    result = cluster.submit(FAKE_SLURM_AT="2", FAKE_SLURM_FAULT="lost-squeue", **SOON)
    assert result.returncode == 4
    assert "neither sbatch nor squeue got an answer" in result.stderr
    (cluster.folder / "silent").unlink()
    assert cluster.submit().returncode == 0
    assert len(cluster.queued()) == 7


def test_a_job_that_is_in_the_queue_twice_is_withdrawn_once(cluster: Cluster) -> None:
    cluster.submit()
    slurm = cluster.slurm
    double = cluster.jobs()["train/a"]
    slurm.queue.jobs[99] = type(double)(**{**vars(double), "id": 99, "waits": {}})
    slurm.save()
    result = cluster.submit()
    assert "submit: train/a was in the queue twice; 99 is withdrawn, 2 stays" in result.stderr
    assert cluster.calls("scancel") == [["scancel", "99"]]


def test_what_another_user_submitted_into_the_same_store_is_asked_for_too(cluster: Cluster) -> None:
    cluster.submit("--max-jobs=1")
    ledger = cluster.tree.store / "ledger/toy.tsv"
    mine = ledger.read_text().splitlines()[-2].rpartition("\t")[2]
    ledger.write_text(ledger.read_text().replace(f"\t{mine}\n", "\tdaemon\n"))
    result = cluster.submit()
    assert "6 jobs submitted, 1 already queued or running" in result.stderr
    assert f"--user={mine},daemon" in cluster.calls("squeue")[-1]


def test_a_job_with_more_parents_than_one_sbatch_can_name_is_left_for_later(cluster: Cluster) -> None:
    """For when some of them are done."""
    tree = cluster.tree
    tree.lines.append("longest=15")
    tree.add("mix/x", after=["prepare/a", "prepare/b", "train/a", "train/b", "evaluate/a"])
    tree.close()
    result = cluster.submit()
    assert result.returncode == 4
    assert "1 jobs are left: some wait for more jobs than one sbatch can name" in result.stderr
    cluster.finish("prepare/a")
    cluster.finish("prepare/b")
    assert cluster.submit().returncode == 0
    assert cluster.sent("mix/x")["dependency"] == "afterok:2:5:3"
