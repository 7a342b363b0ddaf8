"""A job that ended early is queued again where its cluster allows it, and so often as it allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.lifecycle import requeue

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
