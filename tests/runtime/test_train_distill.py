"""On-policy distillation from another model, by TRL's real trainer: what it minimises, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from runtime.errors import EndedEarly, JobError
from runtime.job import Job
from runtime.jobs import train
from runtime.models import load_model, load_tokenizer, save_checkpoint, tiny_qwen3, train_tokenizer
from runtime.prompts import render_prompt
from tests.runtime.toys import ARGS, WORDS, Rows, Values, changed, interrupted, same, train_job, untrained

PROMPTS: Rows = [{"id": f"q{n}", "prompt": f"say {WORDS[n % 8]}", "answer": "x"} for n in range(32)]
DISTILL: Values = {
    "backend": "trl", "algorithm": "distill", "seed": 0, "batch_size": 8, "model_dtype": "float32", "longest": 32,
    "overlong": "error",
    "teacher_model": "wide", "teacher_dtype": "float32", "execution": {"logging_steps": 1}, "args": {**ARGS, "beta": 1.0},
}  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wider model of the same vocabulary, with opinions."""
    return untrained(tmp_path_factory.mktemp("teacher"), hidden=48, seed=1, spread=6.0)


@pytest.fixture
def make(start: Path, teacher: Path, tmp_path: Path) -> Callable[..., Job]:
    def job(config: Values, rows: Rows = PROMPTS, out: str = "out", **models: Path) -> Job:
        return train_job(config, rows, tmp_path, out, {"start": start, "teacher": teacher, **models})

    return job


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_the_student_comes_nearer_to_the_teacher(beta: float, make: Callable[..., Job], start: Path, teacher: Path) -> None:
    job = make(changed(DISTILL, beta=beta, max_steps=30))
    facts = train.run(job)
    assert facts["steps"] == 30 and facts["rows"] == 32
    assert apart(job.out, teacher) < 0.7 * apart(start, teacher)
    assert not (job.out / "checkpoints").exists()


def test_a_model_that_is_its_own_teacher_has_nothing_to_learn(make: Callable[..., Job], start: Path) -> None:
    job = make(changed(DISTILL, max_steps=1), teacher=start)
    assert train.run(job)["loss"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("rows", "epoch"), [(32, "its first"), (16, "its second"), (8, "its third")])
def test_a_job_that_was_stopped_goes_on_as_if_it_had_not(rows: int, epoch: str, make: Callable[..., Job]) -> None:
    """It was stopped after two steps, and goes on in that epoch: TRL's own order of prompts would begin again."""
    whole, job = (make(changed(DISTILL, max_steps=5), PROMPTS[:rows], out=name) for name in ("whole", "out"))
    train.run(whole)
    with pytest.raises(EndedEarly, match="stopped at step 2 of 5"):
        train.run(interrupted(job))
    train.run(job)
    assert same(job.out, whole.out)


def test_a_kept_step_is_what_a_run_stopped_there_would_be(make: Callable[..., Job]) -> None:
    job, stopped = make({**DISTILL, "execution": {"keep": [2]}}), make(changed(DISTILL, max_steps=2), out="stopped")
    assert train.run(job)["kept"] == [2]
    train.run(stopped)
    assert same(job.out / "steps/2", stopped.out)


def test_a_job_without_a_teacher_says_where_it_is_named(make: Callable[..., Job]) -> None:
    job = make(DISTILL)
    lone = Job(job.id, job.kind, job.study, job.fingerprint, None, job.config,
               {name: given for name, given in job.inputs.items() if name != "teacher"}, job.out)  # fmt: skip
    with pytest.raises(JobError, match="name a teacher in the method's stage"):
        train.run(lone)


def test_a_teacher_of_another_vocabulary_is_refused(make: Callable[..., Job], tmp_path: Path) -> None:
    """As many symbols, but other ones: TRL would take it."""
    tokenizer = train_tokenizer(["entirely other words to read here"], 320)
    folder = tmp_path / "other"
    save_checkpoint(tiny_qwen3(tokenizer, layers=1, hidden=16, heads=2, seed=0), tokenizer, folder)
    with pytest.raises(JobError, match="do not have the same vocabulary"):
        train.run(make(DISTILL, teacher=folder))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (changed(DISTILL, beta=1.5), "DistillationConfig refuses these args"),
        (changed(DISTILL, bete=1.0), "did you mean 'beta'"),
        ({**DISTILL, "longest": 3}, "32 of 32 rows are longer than 3 tokens"),
    ],
)
def test_a_mistake_is_one_message(config: Values, message: str, make: Callable[..., Job]) -> None:
    with pytest.raises(JobError, match=message):
        train.run(make(config))


def apart(one: Path, other: Path) -> float:
    """Mean absolute difference of the next token's probabilities behind the prompts."""
    tokenizer = load_tokenizer(one)
    models = [load_model(folder, torch.device("cpu")) for folder in (one, other)]
    found = []
    for prompt in (row["prompt"] for row in PROMPTS[:8]):
        ids: Any = torch.tensor([tokenizer.encode(render_prompt(prompt, tokenizer))])
        with torch.no_grad():
            left, right = (model(ids).logits[0, -1].softmax(-1) for model in models)
        found.append(float((left - right).abs().sum()))
    return sum(found) / len(found)
