"""A training that was killed goes on from its last whole checkpoint, and ends in the very weights it would have ended in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.jobs import train
from runtime.train import resume
from tests.runtime.test_train import COPY, DPO, GRPO, QUESTIONS, SFT
from tests.runtime.toys import Rows, Values, changed, same, train_job
from tests.tree import QUIET

PREFERENCES: Rows = [{"id": row["id"], "prompt": row["prompt"], "chosen": "yes", "rejected": "no"} for row in QUESTIONS]
ROWS = {"sft": COPY, "dpo": PREFERENCES, "grpo": QUESTIONS}

# Trains in a process of its own, and dies by SIGKILL where `moment` says: after a step's end, or in the middle of saving it.
DOOMED = """
import json, os, signal, sys
from pathlib import Path
from transformers import Trainer
from runtime.job import Input, Job
from runtime.jobs import train
given = json.loads(sys.argv[1])
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
class Doomed(Job):
    def progress(self, done, total, **facts):
        if given["moment"] == "step" and done == given["at"]:
            die()
def save_random_state(self, folder, before=Trainer._save_rng_state):
    if given["moment"] == "save" and self.state.global_step == given["at"]:
        die()
    before(self, folder)
Trainer._save_rng_state = save_random_state
inputs = {name: Input(name, "any", Path(path), "0" * 64) for name, path in given["inputs"].items()}
train.run(Doomed("train/toy", "train", "test", "f" * 64, None, given["config"], inputs, Path(given["out"])))
"""


def saving(config: Values, every: int) -> Values:
    return {**changed(config, max_steps=6), "execution": {"save_steps": every}}


@pytest.mark.parametrize("config", [SFT, DPO, GRPO], ids=lambda config: config["algorithm"])
@pytest.mark.parametrize(("moment", "at", "whole"), [("step", 5, 4), ("save", 4, 2)])
def test_a_killed_training_ends_in_the_same_weights_bit_for_bit(
    config: Values, moment: str, at: int, whole: int, untrained: Path, tmp_path: Path
) -> None:
    rows = ROWS[config["algorithm"]]
    uninterrupted = train_job(saving(config, 2), rows, tmp_path, "uninterrupted", {"start": untrained})
    train.run(uninterrupted)
    job = train_job(saving(config, 2), rows, tmp_path, "killed", {"start": untrained})
    inputs = {name: str(given.path) for name, given in job.inputs.items()}
    given = {"config": job.config, "inputs": inputs, "out": str(job.out), "moment": moment, "at": at}
    died = subprocess.run([sys.executable, "-c", DOOMED, json.dumps(given)], env={**os.environ, **QUIET}, check=False)
    assert died.returncode == -signal.SIGKILL
    there, torn = resume.found(job.out / "checkpoints")
    assert resume.step_of(there[-1]) == whole and [resume.step_of(folder) for folder in torn] == (
        [4] if moment == "save" else []
    )
    train.run(job)
    assert same(job.out, uninterrupted.out)


def test_a_torn_checkpoint_is_removed_and_said(untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = train_job(saving(SFT, 2), COPY, tmp_path, "out", {"start": untrained})
    torn = job.out / "checkpoints" / "checkpoint-4"
    torn.mkdir(parents=True)
    (torn / "trainer_state.json").write_text("{")
    assert train.run(job)["steps"] == 6
    assert "checkpoint-4 was not written to its end: removed" in capsys.readouterr().out
