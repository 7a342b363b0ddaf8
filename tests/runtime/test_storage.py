"""`python -m runtime storage`: what is there, what is to come, what will be deleted, what is lost; keeping and archiving it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.asked import ask, chosen, finish
from tests.tree import Tree

DAY = 86_400
MEGABYTE = 1024**2


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path / "a 'root'")
    tree.add("fetch/base")
    tree.add("train/x", after=["fetch/base"])
    tree.add("train/y", after=["fetch/base"])
    for job, size in (("fetch/base", 3 * MEGABYTE), ("train/x", 5 * MEGABYTE), ("train/y", None)):
        tree.jobs[job] |= {"cost": {"storage": size}, "output": "checkpoint.hf"}
    return tree.close()


def make(tree: Tree, job: str, size: int = MEGABYTE, days_ago: float = 0) -> Path:
    """Finish a job whose artifact has a file of that size, last used so long ago."""
    finish(tree, job)
    path = tree.out(job) / "deep" / "weights 'x'.bin"
    path.parent.mkdir()
    path.write_bytes(b"w" * size)
    for file in tree.out(job).rglob("*"):
        os.utime(file, (time.time() - days_ago * DAY,) * 2)
    return path


def told(tree: Tree, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask(tree, "storage", "--json", *options).stdout)
    return found


# ---- the forecast -------------------------------------------------------------------------------------------------------


def test_what_is_there_and_what_is_to_come(tree: Tree) -> None:
    make(tree, "fetch/base")
    found = told(tree)
    marker = (tree.out("fetch/base") / "DONE.json").stat().st_size
    assert found["there"] == MEGABYTE + marker
    assert (found["to_come"], found["unknown"]) == (5 * MEGABYTE, 1)
    assert [(item["job"], item["files"]) for item in found["artifacts"]] == [("fetch/base", 2)]
    lines = ask(tree, "storage").stdout.splitlines()
    assert lines[0] == f"toy in {tree.store}: 1.0M there, about 5.0M of checkpoints to come"
    assert lines[-1] == "nothing is known of deletions there (the cluster has no `purge`)"


def test_what_a_job_under_way_has_written_is_not_counted_twice(tree: Tree) -> None:
    tree.out("train/x").mkdir(parents=True)
    (tree.out("train/x") / "part").write_bytes(b"w" * (2 * MEGABYTE))
    assert told(tree)["to_come"] == (3 + 5 - 2) * MEGABYTE


@pytest.mark.parametrize(("quota", "code"), [(20 * MEGABYTE, 0), (5 * MEGABYTE, 3)])
def test_too_small_a_quota_is_told_and_exit_3(tree: Tree, quota: int, code: int) -> None:
    make(tree, "fetch/base")
    result = ask(tree, "storage", "--quota", str(quota))
    assert result.returncode == code
    assert ("TOO LITTLE" in result.stdout) == bool(code)


def test_links_to_another_jobs_artifact_take_nothing(tree: Tree) -> None:
    make(tree, "train/x")
    tree.out("train/y").symlink_to(tree.out("train/x").name)
    assert [item["job"] for item in told(tree)["artifacts"]] == ["train/x"]


# ---- what will be deleted, and what is lost -----------------------------------------------------------------------------


def test_what_is_deleted_next_is_told_with_its_day(tree: Tree) -> None:
    make(tree, "fetch/base", days_ago=85)
    make(tree, "train/x", days_ago=2)
    lines = ask(tree, "storage", "--purge-days", "90").stdout.splitlines()
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 5 * DAY))
    assert "deleted after 90 days without use: 1 artifacts within 14 days" in lines
    assert f"  {day}      1.0M  fetch/base" in lines
    assert [item["job"] for item in told(tree, "--purge-days", "90")["due"]] == ["fetch/base", "train/x"]


def test_one_file_that_nobody_uses_is_enough_to_lose_an_artifact(tree: Tree) -> None:
    path = make(tree, "train/x")
    os.utime(path, (time.time() - 89 * DAY,) * 2)
    assert "1 artifacts within 14 days" in ask(tree, "storage", "--purge-days", "90").stdout


def test_kept_artifacts_are_touched_and_remembered(tree: Tree) -> None:
    path = make(tree, "fetch/base", days_ago=85)
    result = ask(tree, "storage", "--keep")
    assert (result.returncode, result.stdout) == (0, "toy: touched 2 files of 1 artifacts\n")
    assert time.time() - path.stat().st_mtime < DAY
    assert "nothing within 14 days; the first is fetch/base" in ask(tree, "storage", "--purge-days", "90").stdout


def test_touching_is_bounded_and_the_oldest_go_first(tree: Tree) -> None:
    old, new = make(tree, "train/x", days_ago=80), make(tree, "fetch/base", days_ago=10)
    result = ask(tree, "storage", "--keep", "--most", "2")
    assert (result.returncode, result.stdout) == (3, "toy: touched 2 files of 2 artifacts; 2 are left\n")
    assert (time.time() - old.stat().st_mtime < DAY, time.time() - new.stat().st_mtime < DAY) == (True, False)


def test_only_chosen_jobs_are_kept_and_unfinished_ones_never(tree: Tree) -> None:
    make(tree, "fetch/base")
    make(tree, "train/x")
    tree.out("train/y").mkdir()
    (tree.out("train/y") / "part").touch()
    assert told(tree, "--keep", "--jobs", chosen(tree, "train/x", "train/y"))["touched"] == 2


def test_what_was_deleted_since_is_called_lost(tree: Tree) -> None:
    path = make(tree, "train/x")
    make(tree, "fetch/base")
    ask(tree, "storage", "--keep")
    tree.forget("fetch/base")
    path.unlink()
    result = ask(tree, "storage")
    assert result.returncode == 3
    lines = result.stdout.splitlines()
    assert [line.split(" (")[0] for line in lines if line.startswith("lost: ")][:2] == ["lost: fetch/base", "lost: train/x"]
    assert lines[-1].startswith("lost: 2 artifacts that were done")


# ---- the archive --------------------------------------------------------------------------------------------------------


def test_an_archive_has_every_file_and_a_manifest_that_sha256sum_reads(tree: Tree, tmp_path: Path) -> None:
    make(tree, "fetch/base")
    make(tree, "train/x")
    target = tmp_path / "far away"
    assert told(tree, "--archive", str(target))["archived"] == ["fetch/base", "train/x"]
    checked = subprocess.run(["sha256sum", "-c", "toy.sha256"], cwd=target, capture_output=True, text=True, check=False)
    assert (checked.returncode, len(checked.stdout.splitlines())) == (0, 4)
    assert (target / tree.out("train/x").relative_to(tree.store) / "deep/weights 'x'.bin").stat().st_size == MEGABYTE
    assert (tree.out("train/x") / "deep/weights 'x'.bin").exists()


def test_a_second_archive_adds_to_the_manifest_of_the_first(tree: Tree, tmp_path: Path) -> None:
    make(tree, "fetch/base")
    make(tree, "train/x")
    for job in ("fetch/base", "train/x"):
        ask(tree, "storage", "--archive", str(tmp_path / "far"), "--jobs", chosen(tree, job))
    assert len((tmp_path / "far/toy.sha256").read_text().splitlines()) == 4


def test_what_was_changed_in_the_archive_is_copied_again(tree: Tree, tmp_path: Path) -> None:
    make(tree, "train/x")
    ask(tree, "storage", "--archive", str(tmp_path / "far"))
    copy = tmp_path / "far" / tree.out("train/x").relative_to(tree.store) / "deep/weights 'x'.bin"
    copy.write_bytes(b"rot")
    ask(tree, "storage", "--archive", str(tmp_path / "far"))
    assert copy.stat().st_size == MEGABYTE


def test_removed_originals_stay_done_and_say_where_they_went(tree: Tree, tmp_path: Path) -> None:
    for job in tree.jobs:
        make(tree, job)
    target = tmp_path / "far"
    result = ask(tree, "storage", "--archive", str(target), "--remove")
    assert "3 of them are removed" in result.stdout
    note = json.loads((tree.out("train/x") / "ARCHIVED.json").read_text())
    assert note["to"] == str(target / tree.out("train/x").relative_to(tree.store))
    assert [file["path"] for file in note["files"]] == ["DONE.json", "deep/weights 'x'.bin"]
    assert not (tree.out("train/x") / "deep/weights 'x'.bin").exists()
    assert ask(tree, "status").returncode == 0
    assert told(tree)["lost"] == []
    assert told(tree, "--archive", str(target))["archived"] == []


def test_what_is_still_to_be_read_is_not_removed(tree: Tree, tmp_path: Path) -> None:
    make(tree, "fetch/base")
    make(tree, "train/x")
    found = told(tree, "--archive", str(tmp_path / "far"), "--remove")
    assert (found["removed"], found["still_needed"]) == (["train/x"], ["fetch/base"])
    assert (tree.out("fetch/base") / "deep/weights 'x'.bin").exists()


def test_a_job_that_needs_what_was_archived_is_told_what_to_copy_back(tree: Tree, tmp_path: Path) -> None:
    make(tree, "fetch/base")
    ask(tree, "storage", "--archive", str(tmp_path / "far"))
    (tree.out("fetch/base") / "ARCHIVED.json").write_text(json.dumps({"to": str(tmp_path / "far/x")}))
    command = ["python", "-m", "runtime", "begin", str(tree.contract("train/x"))]
    environment = tree.environment({"LETHE_STORE": str(tree.store)})
    result = subprocess.run(command, cwd=tree.root, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 65
    assert f"fetch/base was archived; copy it back: cp -r {tmp_path}/far/x/. '" in result.stderr


def test_an_archive_within_the_store_is_refused(tree: Tree) -> None:
    make(tree, "train/x")
    result = ask(tree, "storage", "--archive", str(tree.store / "old"))
    assert result.returncode == 1
    assert "lies within the store, so it is no archive of it" in result.stderr
