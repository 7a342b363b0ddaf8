"""submit.sh with arrays: alike jobs in one sbatch, each of which goes its own way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.submitting import Cluster
from tests.tree import Tree

LETTERS = "abcd"


def make(folder: Path, switches: str = "at_once=2") -> Cluster:
    """A start, four trainings on it as an array, an evaluation of each as another, and a mix and a report of them all."""
    tree = Tree(folder / "a 'root'", executor="slurm")
    tree.add("fetch/base")
    trained = [tree.add(f"train/{letter}", after=["fetch/base"]) for letter in LETTERS]
    scored = [tree.add(f"evaluate/{letter}.x", after=["fetch/base", f"train/{letter}"]) for letter in LETTERS]
    tree.add("mix/all", after=trained)
    tree.add("report/toy", ended=[*scored, "train/b"])
    tree.array("train", dict(enumerate(trained)))
    tree.array("evaluate", dict(enumerate(scored)))
    return Cluster.of(tree.close(switches), folder)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make(tmp_path)


def test_each_stage_is_one_sbatch(cluster: Cluster) -> None:
    result = cluster.submit()
    assert result.returncode == 0, result.stderr
    assert "11 jobs submitted, 0 already queued or running, 0 done, of 11" in result.stderr
    options = cluster.all_sent()
    assert [item.get("array", "") for item in options] == ["", "0-3%2", "0-3%2", "", ""]
    assert options[1]["output"].endswith("-%A_%a.out")


def test_an_element_waits_for_the_one_with_its_index_and_a_collector_for_whole_arrays(cluster: Cluster) -> None:
    cluster.submit()
    dependencies = [item.get("dependency", "") for item in cluster.all_sent()]
    assert dependencies == ["", "afterok:1", "aftercorr:2,afterok:1", "afterok:2", "afterany:3:2_1"]


def test_the_ledger_tells_every_element(cluster: Cluster) -> None:
    cluster.submit()
    rows = [line.split("\t") for line in (cluster.tree.store / "ledger/toy.tsv").read_text().splitlines()]
    array = cluster.jobs()["train/a"].name
    assert [row[5] for row in rows if row[1:3] == ["intent", "train/c"]] == [f"{array}_2"]
    assert [row[4] for row in rows if row[1:3] == ["submitted", "train/c"]] == ["2_2"]


def test_a_failed_element_blocks_its_own_descendants_alone(cluster: Cluster) -> None:
    cluster.submit()
    cluster.end("fetch/base", "COMPLETED")
    for letter in "acd":
        cluster.end(f"train/{letter}", "COMPLETED")
    cluster.end("train/b", "FAILED")
    states = {job: item.reason for job, item in cluster.jobs().items() if job.startswith("evaluate/")}
    never = "DependencyNeverSatisfied"
    assert states == {"evaluate/a.x": "Priority", "evaluate/b.x": never, "evaluate/c.x": "Priority", "evaluate/d.x": "Priority"}


def test_what_failed_goes_in_again_as_a_sparse_array_and_what_waits_gets_it(cluster: Cluster) -> None:
    cluster.submit()
    cluster.end("fetch/base", "COMPLETED")
    cluster.finish("fetch/base")
    for letter in "bd":
        cluster.end(f"train/{letter}", "FAILED")
    result = cluster.submit()
    assert "2 jobs submitted, 8 already queued or running, 1 done, of 11" in result.stderr
    assert cluster.all_sent()[-1]["array"] == "1,3%2"
    assert cluster.calls("scontrol", "update") == [
        ["scontrol", "update", "jobid=3_1", "dependency=afterok:6_1"],
        ["scontrol", "update", "jobid=3_3", "dependency=afterok:6_3"],
        ["scontrol", "update", "jobid=4", "dependency=afterok:2_0:6:2_2"],
        ["scontrol", "update", "jobid=5", "dependency=afterany:3:6_1"],
    ]
    assert cluster.calls("scontrol", "release")[-1] == ["scontrol", "release", "6"]
    assert "0 jobs submitted, 10 already queued or running" in cluster.submit().stderr
    assert len(cluster.calls("scontrol", "update")) == 4


def test_elements_whose_parents_differ_go_in_apart(cluster: Cluster) -> None:
    for job in ("fetch/base", "train/a", "train/c"):
        cluster.finish(job)
    cluster.submit()
    assert [(item.get("array"), item.get("dependency")) for item in cluster.all_sent()[:3]] == [
        ("1,3%2", None), ("0,2%2", None), ("1,3%2", "aftercorr:1"),
    ]  # fmt: skip


def test_a_job_is_known_although_the_array_around_it_has_changed(tmp_path: Path) -> None:
    """A job keeps its fingerprint while another of its array gets a new one, and so the array a new name."""
    cluster = make(tmp_path / "one")
    cluster.submit()
    before = cluster.jobs()["train/a"].id
    other = Tree(tmp_path / "two", executor="slurm")
    other.add("fetch/base")
    trained = [other.add(f"train/{letter}", after=["fetch/base"]) for letter in "abc"]
    other.array("train", dict(enumerate(trained)))
    other.close("at_once=2")
    result = other.submit(environment=cluster.environment)
    assert result.returncode == 0, result.stderr
    assert "0 jobs submitted, 4 already queued or running" in result.stderr
    assert cluster.jobs()["train/a"].id == before


def test_the_bound_on_the_queue_cuts_an_array(tmp_path: Path) -> None:
    cluster = make(tmp_path, "at_once=2; most_submitted=3")
    result = cluster.submit()
    assert result.returncode == 4
    assert cluster.all_sent()[-1]["array"] == "0-1%2"
    assert "8 jobs are left" in result.stderr


def test_an_array_that_does_not_fit_goes_in_as_far_as_it_does(cluster: Cluster) -> None:
    result = cluster.submit(FAKE_SLURM_MOST="4")
    assert result.returncode == 4
    assert sorted(cluster.jobs()) == ["fetch/base", "train/a", "train/b", "train/c"]
    assert cluster.jobs()["fetch/base"].reason == "Priority", "what is in may start"


def test_a_dry_run_shows_the_arrays(cluster: Cluster) -> None:
    lines = cluster.submit("--dry-run").stdout.splitlines()
    assert len(lines) == 5
    assert "--array=0-3%2" in lines[1] and "--dependency=aftercorr:{train-" in lines[2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("submit train/e 1234 in train", "train/e has no index in train"),
        ("submit train/e 1234 in train x", "train/e: 'x' is no index of an array"),
        ("submit train/e 1234 in nothing 0", "arrays/nothing.sh is missing"),
    ],
)
def test_an_array_that_makes_no_sense_is_refused(tmp_path: Path, line: str, message: str) -> None:
    cluster = make(tmp_path)
    (cluster.tree.generated / "jobs/train/e.sh").write_text("")
    cluster.tree.lines.append(line)
    cluster.tree.close()
    result = cluster.submit()
    assert (result.returncode, cluster.calls("sbatch")) == (1, [])
    assert message in result.stderr
