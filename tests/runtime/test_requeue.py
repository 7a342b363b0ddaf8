"""A job that ended early is queued again where its cluster allows it, and so often as it allows; not one that was withdrawn."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runtime.__main__ import main
from runtime.job import Job
from runtime.jobs import train
from runtime.lifecycle import requeue
from runtime.store import attempts
from tests.runtime.toys import interrupted, train_job, untrained
from tests.tree import Tree

SLURM = {"SLURM_JOB_ID": "812", "LETHE_REQUEUE": "yes", "LETHE_ATTEMPTS": "3"}


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scontrol that writes down what it is asked, and refuses where `refuse` is there; the file of its words."""
    words, program = tmp_path / "words", tmp_path / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ ! -e "{tmp_path}/refuse" ] || {{ echo "Requested operation is disabled" >&2; exit 1; }}\n'
        f'echo "$@" >> "{words}"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    words.touch()
    return words


def test_slurm_is_asked_to_queue_the_job_again(scontrol: Path) -> None:
    assert requeue.ask(SLURM) == "job 812 is queued again, to go on from its checkpoint"
    assert scontrol.read_text() == "requeue 812\n"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, ""),
        ({**SLURM, "LETHE_REQUEUE": "no"}, "Slurm does not start it again here (requeue: false); submit_all.sh does"),
        (
            {**SLURM, "LETHE_REQUEUE": "no", "LETHE_LINK": "1/3"},
            "link 1 of 3 ends here, and the next goes on from its checkpoint",
        ),
        (
            {**SLURM, "LETHE_REQUEUE": "no", "LETHE_LINK": "3/3"},
            "Slurm does not start it again here (requeue: false); submit_all.sh does",
        ),
        (
            {**SLURM, "SLURM_RESTART_COUNT": "2"},
            "Slurm has started it 3 times, which is all it may; submit_all.sh lets it go on",
        ),
    ],
)
def test_where_it_may_not_nothing_is_asked_and_the_log_says_why(environment: dict[str, str], said: str, scontrol: Path) -> None:
    assert requeue.ask(environment) == said
    assert scontrol.read_text() == ""


def test_a_refusal_is_told_in_slurms_words(scontrol: Path, tmp_path: Path) -> None:
    (tmp_path / "refuse").touch()
    assert requeue.ask(SLURM) == (
        "Slurm did not requeue job 812 (Requested operation is disabled); submit_all.sh lets it go on"
    )


@pytest.mark.parametrize(
    ("told", "word", "asked"), [(signal.SIGUSR1, "stopped", "requeue 812\n"), (signal.SIGTERM, "withdrawn", "")]
)
def test_a_training_goes_on_by_itself_after_its_time_limit_and_not_where_somebody_ended_it(
    told: signal.Signals, word: str, asked: str, scontrol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that is really told, through the job's own entry; what Slurm is asked is written down."""
    config = {
        "backend": "trl", "algorithm": "sft", "seed": 0, "batch_size": 2, "model_dtype": "float32", "longest": 64,
        "overlong": "error", "args": {"max_steps": 4, "bf16": False},
    }  # fmt: skip
    rows = [{"id": str(n), "prompt": f"say up {n}", "completion": f"up {n}"} for n in range(8)]
    toy = train_job(config, rows, tmp_path, "toy", {"start": untrained(tmp_path / "start")})
    really = train.run

    def training(job: Job) -> Mapping[str, Any]:
        return really(interrupted(toy, told))

    monkeypatch.setattr("runtime.jobs.train.run", training)
    tree = Tree(tmp_path)
    tree.add("train/toy", config={})
    tree.close()
    for name, value in {**SLURM, "LETHE_STORE": str(tree.store)}.items():
        monkeypatch.setenv(name, value)
    assert main(["train", str(tree.contract("train/toy"))]) == 75
    found = attempts.latest(tree.out("train/toy"))
    assert found and found.exit_code == 75
    assert found.why == f"EndedEarly: {word} at step 2 of 4; run the job again to go on from there"
    assert scontrol.read_text() == asked
