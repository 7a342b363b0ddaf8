"""`python -m runtime triage`: failures by cause, with what they share, what helps, and the words that select them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.operations.status.states import State
from runtime.operations.triage import read_signatures
from runtime.operations.triage.signatures import finding
from runtime.store import attempts
from tests.runtime.asked import answer, ask, chosen, finish, note, queue, say
from tests.tree import Tree

OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"


@pytest.fixture
def study(tmp_path: Path) -> Tree:
    """Two methods on two domains at two scales; everything trains from one start."""
    tree = Tree(tmp_path / "root", executor="slurm")
    tree.add("pretrain/base")
    for scale in ("4b", "8b"):
        for method in ("sft", "rl"):
            for domain in ("math", "code"):
                tree.add_cell({"method": method, "domain": domain, "scale": scale}, after=["pretrain/base"])
    tree.close()
    finish(tree, "pretrain/base")
    return tree


def fail(tree: Tree, logs: dict[str, str], state: str = "FAILED") -> None:
    rows = [(number, job, state, "NonZeroExitCode") for number, job in enumerate(logs, start=1)]
    queue(tree, *rows)
    for number, job, _, _ in rows:
        say(tree, job, number, logs[job])


def groups(tree: Tree, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ask(tree, "triage", "--json", *options).stdout)["groups"]
    return found


def test_failures_that_look_alike_are_one_group_with_what_they_share(study: Tree) -> None:
    oom = {f"train/{m}_{d}_8b": f"step 3\n{OOM}\n" for m in ("sft", "rl") for d in ("math", "code")}
    fail(study, {**oom, "train/sft_math_4b": "ModuleNotFoundError: No module named 'trl'\n"})
    result = ask(study, "triage")
    assert result.returncode == 3
    lines = result.stdout.splitlines()
    assert lines[0] == "CUDA out of memory: 4 cells, all scale=8b; 4 train jobs"
    assert f"    says:  {OOM}" in lines
    assert "    which: lethe ls specs/toy.yaml scale:8b,stage:train,result:failed" in lines
    assert "    then:  lethe retry specs/toy.yaml scale:8b,stage:train,result:failed" in lines
    assert "something is not installed: 1 cell; 1 train job" in lines


def test_where_values_do_not_tell_them_apart_the_jobs_are_named(study: Tree) -> None:
    fail(study, {"train/sft_math_8b": OOM, "train/rl_code_8b": OOM, "train/sft_code_8b": "ImportError: nope"})
    first, second = groups(study)
    assert (first["common"], first["select"]) == ({"scale": "8b"}, "job:train/sft_math_8b|train/rl_code_8b")
    assert second["select"] == "method:sft,domain:code,scale:8b,stage:train,result:failed"


def test_what_failures_hold_up_is_counted(study: Tree) -> None:
    fail(study, {"train/sft_math_8b": OOM})
    with (study.root.parent / "bin/squeue.out").open("a") as file:
        file.write(f"9|{study.name('evaluate/sft_math_8b.math')}|PENDING|DependencyNeverSatisfied|{study.store}\n")
    (group,) = groups(study)
    assert (group["jobs"], group["holds_up"]) == (["train/sft_math_8b"], 1)


def test_unknown_failures_are_alike_when_only_numbers_and_paths_differ(study: Tree) -> None:
    said = {"train/sft_math_8b": "row 12 of /a/b/c.jsonl", "train/rl_math_8b": "row 7 of /a/x/y.jsonl"}
    fail(study, {job: f"ValueError: {text}\n" for job, text in said.items()})
    (group,) = groups(study)
    assert (group["what"], group["line"]) == ("ValueError: row … of …", "ValueError: row 12 of /a/b/c.jsonl")
    assert group["common"] == {"domain": "math", "scale": "8b"}


def test_without_a_log_what_slurm_says_is_the_group(study: Tree) -> None:
    queue(study, (1, "train/sft_math_8b", "FAILED", "NonZeroExitCode"))
    assert groups(study)[0]["what"] == "FAILED, NonZeroExitCode"


def test_truncated_trainings_go_on_when_they_are_submitted_again(study: Tree) -> None:
    note(study, "submitted", "train/sft_math_8b", 4)
    answer(study, "squeue", "")
    answer(study, "sacct", "4|FAILED|75:0\n")
    (group,) = groups(study)
    assert (group["signature"], group["again"]) == ("time-limit", "yes")
    assert group["select"] == "method:sft,domain:math,scale:8b,stage:train,result:truncated"
    assert "    now:   lethe retry" in ask(study, "triage").stdout


def test_only_the_jobs_that_were_asked_for_count(study: Tree) -> None:
    fail(study, {"train/sft_math_8b": OOM, "train/rl_math_8b": OOM})
    (group,) = groups(study, "--jobs", chosen(study, "train/rl_math_8b"))
    assert group["jobs"] == ["train/rl_math_8b"]


def test_nothing_failed_is_exit_0(study: Tree) -> None:
    answer(study, "squeue", "")
    result = ask(study, "triage")
    assert (result.returncode, result.stdout) == (0, "toy: nothing has failed\n")


def test_on_this_machine_the_attempts_tell(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root")
    tree.add("train/x")
    tree.close()
    note(tree, "started", "train/x", 4)
    note(tree, "failed", "train/x", 4, "exit code 74")
    attempts.begin(tree.out("train/x"), "train/x", tree.jobs["train/x"]["fingerprint"], {})
    attempts.end(tree.out("train/x"), 74, "NoRoom: no room left")
    (group,) = groups(tree)
    assert (group["signature"], group["cells"], group["select"]) == ("disk-full", [], "stage:train,result:failed")


# ---- what failures look like ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signature", "log"),
    [
        ("cuda-oom", "torch.cuda.OutOfMemoryError: CUDA out of memory.\nslurmstepd: error: *** STEP 1.0 CANCELLED ***"),
        ("cuda-oom", f"{OOM}\n[rank1] DistBackendError: NCCL error in: ProcessGroupNCCL.cpp"),
        ("cuda-oom", "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`"),
        ("host-oom", "slurmstepd: error: Detected 1 oom_kill event in StepId=12.batch."),
        ("host-oom", "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory."),
        ("disk-full", "OSError: [Errno 28] No space left on device"),
        ("disk-full", "OSError: [Errno 122] Disk quota exceeded"),
        ("hub-refused", "huggingface_hub.errors.GatedRepoError: 403 Client Error."),
        ("hub-offline", "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder"),
        ("import-error", "ImportError: libcudart.so.12: cannot open shared object file"),
        ("environment", "job.sh: line 14: /scratch/envs/train/bin/activate: No such file or directory"),
        ("gpu-broken", "RuntimeError: CUDA error: uncorrectable ECC error encountered"),
        ("nccl", "Watchdog caught collective operation timeout: WorkNCCL(SeqNum=8)"),
        ("port-taken", "RuntimeError: The server socket has failed to bind: EADDRINUSE"),
        ("time-limit", "slurmstepd: error: *** JOB 3 ON cn-a001 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***"),
        ("preempted", "slurmstepd: error: *** JOB 3 ON cn-a001 CANCELLED AT 2026-01-01T00:00:00 DUE TO PREEMPTION ***"),
    ],
)
def test_logs_are_recognised(signature: str, log: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(f"loading\n{log}\n")
    found = finding(State("train/x", "train", "failed", "FAILED", str(path)), read_signatures())
    assert found.signature.id == signature
    assert found.line in log


@pytest.mark.parametrize(
    ("signature", "state"),
    [
        ("node-failure", State("train/x", "train", "failed", slurm="NODE_FAIL")),
        ("preempted", State("train/x", "train", "failed", slurm="PREEMPTED")),
        ("time-limit", State("train/x", "train", "failed", slurm="TIMEOUT")),
        ("host-oom", State("train/x", "train", "failed", slurm="OUT_OF_MEMORY")),
        ("host-oom", State("train/x", "train", "failed", exit=137)),
        ("input", State("train/x", "train", "failed", exit=65)),
        ("bug", State("train/x", "train", "failed", exit=70)),
        ("environment", State("train/x", "train", "failed", exit=127)),
        ("results-missing", State("report/x", "report", "failed", exit=3)),
        ("not-started", State("train/x", "train", "failed", "FAILED, JobLaunchFailure, exit code 0:53")),
        ("lost", State("train/x", "train", "unknown", "Slurm has forgotten 7; its log may say why")),
    ],
)
def test_states_and_exit_codes_are_recognised(signature: str, state: State) -> None:
    assert finding(state, read_signatures()).signature.id == signature


def test_every_signature_says_what_helps() -> None:
    signatures = read_signatures()
    assert len({item.id for item in signatures}) == len(signatures) > 15
    assert all(item.what and item.fix.endswith(".") and item.again in ("yes", "mended") for item in signatures)


def test_only_the_end_of_a_log_counts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(f"{OOM}\n" + "step\n" * 20_000 + "KeyError: 'answer'\n")
    assert finding(State("train/x", "train", "failed", "", str(path)), read_signatures()).signature.what == "KeyError: 'answer'"
