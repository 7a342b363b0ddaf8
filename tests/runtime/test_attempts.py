"""Attempts: every start of a job is noted with its end, and half a result is no result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import EndedEarly, FailedBefore, InputError, JobError, NoRoom, OutOfMemory
from runtime.job import Job
from runtime.lifecycle import bracket
from runtime.store import attempts, markers
from tests.tree import Tree

Work = Callable[[Job], dict[str, Any]]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """Two jobs; the second reads what the first makes."""
    found = Tree(tmp_path)
    found.add("generate/first", config={})
    found.add("generate/second", after=["generate/first"], config={})
    found.close()
    monkeypatch.setenv("LETHE_STORE", str(found.store))
    return found


def does(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Let `work` be what generate jobs do."""
    monkeypatch.setattr("runtime.jobs.generate.run", work)


def good(job: Job) -> dict[str, Any]:
    (job.out / "traces.jsonl").write_text("{}\n")
    return {}


def failing(error: Exception) -> Work:
    def work(job: Job) -> dict[str, Any]:
        raise error

    return work


def run(tree: Tree, job: str) -> None:
    bracket.run("generate", tree.contract(job))


def test_an_attempt_that_did_its_job_says_so(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    does(monkeypatch, good)
    monkeypatch.setenv("SLURM_JOB_ID", "812")
    run(tree, "generate/first")
    found = attempts.latest(tree.out("generate/first"))
    assert found and (found.number, found.slurm, found.exit_code, found.why) == (1, "812", 0, "done")
    assert found.fingerprint == tree.jobs["generate/first"]["fingerprint"] and found.ended


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (EndedEarly("stopped", 3, 9), EndedEarly, 75),
        (OSError(28, "No space left on device"), NoRoom, 74),
        (RuntimeError("I/O error: No space left on device (os error 28)"), NoRoom, 74),
        (MemoryError("so much"), OutOfMemory, 71),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), OutOfMemory, 71),
        (JobError("wrong config"), JobError, 1),
        (ZeroDivisionError("a bug"), ZeroDivisionError, 70),
    ],
)
def test_each_way_to_fail_has_its_name_and_its_exit_code(
    error: Exception, kind: type[Exception], code: int, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    does(monkeypatch, failing(error))
    with pytest.raises(kind) as caught:
        run(tree, "generate/first")
    assert getattr(caught.value, "exit_code", 70) == code
    found = attempts.latest(tree.out("generate/first"))
    assert found and found.exit_code == code and found.why and found.why.startswith(kind.__name__)
    assert not markers.is_done(tree.out("generate/first"), found.fingerprint)


def test_every_attempt_keeps_its_folder_and_latest_leads_to_the_last(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tree.out("generate/first") / "attempts"
    does(monkeypatch, failing(JobError("wrong")))
    for _ in range(2):
        with pytest.raises(JobError):
            run(tree, "generate/first")
    does(monkeypatch, good)
    run(tree, "generate/first")
    codes = [json.loads((out / str(number) / "attempt.json").read_text())["exit_code"] for number in (1, 2, 3)]
    assert codes == [1, 1, 0] and str((out / "latest").readlink()) == "3"


def test_a_killed_attempt_has_no_end_and_the_next_one_another_number(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(job: Job) -> dict[str, Any]:
        raise KeyboardInterrupt

    does(monkeypatch, killed)
    with pytest.raises(KeyboardInterrupt):
        run(tree, "generate/first")
    found = attempts.latest(tree.out("generate/first"))
    assert found and (found.number, found.ended, found.exit_code) == (1, None, None)
    does(monkeypatch, good)
    run(tree, "generate/first")
    found = attempts.latest(tree.out("generate/first"))
    assert found and (found.number, found.exit_code) == (2, 0)


def test_what_is_truncated_is_refused_until_it_went_on_to_its_end(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    does(monkeypatch, failing(EndedEarly("stopped at 3 of 9", 3, 9)))
    with pytest.raises(EndedEarly):
        run(tree, "generate/first")
    with pytest.raises(InputError, match=r"generate/first is truncated \(stopped at 3 of 9\); let it go on first"):
        run(tree, "generate/second")
    does(monkeypatch, good)
    run(tree, "generate/first")
    assert not (tree.out("generate/first") / attempts.TRUNCATED).exists()
    run(tree, "generate/second")


def test_a_folder_with_attempts_at_another_fingerprint_is_not_gone_on_in(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    does(monkeypatch, good)
    out = tree.out("generate/first")
    out.mkdir(parents=True)
    attempts.begin(out, "generate/first", "f" * 64, {})
    with pytest.raises(InputError, match=r"holds attempts at fingerprint ffffffffffff, not .*; move that folder away"):
        run(tree, "generate/first")


def test_slurm_starts_a_job_so_often_and_not_more(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    does(monkeypatch, good)
    monkeypatch.setenv("LETHE_ATTEMPTS", "3")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")
    with pytest.raises(JobError, match="generate/first: Slurm has started it 4 times and may 3 times"):
        run(tree, "generate/first")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    run(tree, "generate/first")


def test_a_link_goes_on_from_what_the_one_before_left_and_not_where_that_failed(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, fingerprint = tree.out("generate/first"), tree.jobs["generate/first"]["fingerprint"]
    out.mkdir(parents=True)
    does(monkeypatch, good)
    attempts.begin(out, "generate/first", fingerprint, {})
    attempts.end(out, 71, "OutOfMemory: all of it")
    monkeypatch.setenv("LETHE_LINK", "2/3")
    with pytest.raises(FailedBefore, match="link 2 of 3 does not start, as the one before failed: OutOfMemory: all") as told:
        run(tree, "generate/first")
    assert told.value.exit_code == 71 and attempts.latest(out).number == 1
    attempts.end(out, 75, "EndedEarly: stopped at step 3 of 9")
    run(tree, "generate/first")
    assert attempts.latest(out).number == 2


def test_the_first_link_tries_again_what_failed_before(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    out, fingerprint = tree.out("generate/first"), tree.jobs["generate/first"]["fingerprint"]
    out.mkdir(parents=True)
    does(monkeypatch, good)
    attempts.begin(out, "generate/first", fingerprint, {})
    attempts.end(out, 70, "a bug, mended since")
    monkeypatch.setenv("LETHE_LINK", "1/3")
    run(tree, "generate/first")


def test_of_several_processes_the_first_one_notes_the_attempt(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    does(monkeypatch, good)
    monkeypatch.setenv("RANK", "1")
    run(tree, "generate/first")
    assert not (tree.out("generate/first") / "attempts").exists()
