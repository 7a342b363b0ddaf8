"""A training that was killed goes on from its last whole checkpoint, and ends in the very weights it would have ended in."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from runtime.data.rows import read_rows
from runtime.jobs import train
from runtime.train import resume
from tests.runtime import toys
from tests.runtime.test_train import COPY, DPO, GRPO, QUESTIONS, SFT
from tests.runtime.test_train_distill import DISTILL
from tests.runtime.test_train_pi_distill import PI
from tests.runtime.test_train_sdft import SDFT
from tests.runtime.toys import Rows, Values, changed, same, train_job
from tests.tree import QUIET

PREFERENCES: Rows = [{"id": row["id"], "prompt": row["prompt"], "chosen": "yes", "rejected": "no"} for row in QUESTIONS]
SHOWN: Rows = [{**row, "privileged": "yes"} for row in QUESTIONS]
ROWS = {"sft": COPY, "dpo": PREFERENCES, "grpo": QUESTIONS, "distill": QUESTIONS, "sdft": SHOWN, "pi_distill": SHOWN}
TRAINERS = (SFT, DPO, GRPO, DISTILL, SDFT, PI)

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


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A start that says "yes" or "no" to every question, so that rewards differ; and a teacher who says something else."""
    folder = tmp_path_factory.mktemp("models")
    rows = [{**row, "id": f"{row['id']}{word}", "completion": word} for row in QUESTIONS for word in ("yes", "no")]
    first, teacher = toys.untrained(folder / "first"), toys.untrained(folder / "teacher", hidden=48, seed=1, spread=6.0)
    train.run(train_job(changed(SFT, max_steps=60), rows, folder, "start", {"start": first}))
    return {"start": folder / "start", "teacher": teacher}


def killed() -> Iterator[Any]:
    """Every trainer with the moment and the step of its death, the step drawn for each; the longest are slow tests."""
    for config in TRAINERS:
        drawn = random.Random(config["algorithm"])
        for moment, steps in (("step", (3, 4, 5, 6)), ("save", (4, 6))):
            name, slow = f"{config['algorithm']}-{moment}", moment == "save" and config not in (SFT, DPO, GRPO)
            yield pytest.param(config, moment, drawn.choice(steps), id=name, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize(("config", "moment", "at"), list(killed()))
def test_a_killed_training_ends_in_the_same_weights_bit_for_bit(
    config: Values, moment: str, at: int, models: dict[str, Path], tmp_path: Path
) -> None:
    rows = ROWS[config["algorithm"]]
    read = models if "teacher_model" in config else {"start": models["start"]}
    uninterrupted = train_job(saving(config, 2), rows, tmp_path, "uninterrupted", read)
    train.run(uninterrupted)
    assert not same(uninterrupted.out, models["start"]), "this training would pass without having trained"
    job = train_job(saving(config, 2), rows, tmp_path, "killed", read)
    inputs = {name: str(given.path) for name, given in job.inputs.items()}
    given = {"config": job.config, "inputs": inputs, "out": str(job.out), "moment": moment, "at": at}
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # as here: another number adds in another order
    environment = {**os.environ, **QUIET, **threads}
    died = subprocess.run([sys.executable, "-c", DOOMED, json.dumps(given)], env=environment, check=False)
    assert died.returncode == -signal.SIGKILL
    there, torn = resume.found(job.out / "checkpoints")
    assert resume.step_of(there[-1]) == (at - 1) // 2 * 2, "it saves after every second step"
    assert [resume.step_of(folder) for folder in torn] == ([at] if moment == "save" else [])
    train.run(job)
    assert same(job.out, uninterrupted.out)
    logs = [read_rows(each.out / "train_log.jsonl") for each in (job, uninterrupted)]
    assert [entry["step"] for entry in logs[0]] == [entry["step"] for entry in logs[1]], "the log is of the whole training"


def test_a_torn_checkpoint_is_removed_and_said(untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = train_job(saving(SFT, 2), COPY, tmp_path, "out", {"start": untrained})
    torn = job.out / "checkpoints" / "checkpoint-4"
    torn.mkdir(parents=True)
    (torn / "trainer_state.json").write_text("{")
    assert train.run(job)["steps"] == 6
    assert "checkpoint-4 was not written to its end: removed" in capsys.readouterr().out
