"""Toy models, rows and train jobs for the tests of trainers, which really run on them, on one core, in a second or two."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from runtime.data.rows import write_rows
from runtime.job import Input, Job
from runtime.models import load_model, load_tokenizer, save_checkpoint, tiny_qwen3, train_tokenizer
from runtime.prompts import render_completion, render_prompt

Rows = list[dict[str, Any]]
Values = dict[str, Any]
WORDS = ("north", "south", "east", "west", "up", "down", "left", "right")
ARGS: Values = {"learning_rate": 5e-3, "lr_scheduler_type": "constant", "max_steps": 4, "bf16": False, "fp16": False,
                "temperature": 1.0, "max_completion_length": 8}  # fmt: skip


@dataclass(frozen=True)
class Interrupted(Job):
    """A job whose process is told to stop after its second step, as Slurm tells it before a time limit."""

    def progress(self, done: int, total: int, **facts: float | str) -> None:
        if done == 2:
            os.kill(os.getpid(), signal.SIGUSR1)


def interrupted(job: Job) -> Job:
    """The same job, told to stop after its second step."""
    return Interrupted(job.id, job.kind, job.study, job.fingerprint, None, job.config, job.inputs, job.out)


def untrained(folder: Path, *, hidden: int = 32, seed: int = 0, spread: float = 1.0) -> Path:
    """A checkpoint.hf of two narrow layers; with `spread` its weights are scaled, so that it has opinions."""
    tokenizer = train_tokenizer([f"say {word} {number}" for word in WORDS for number in range(10)], 320)
    model = tiny_qwen3(tokenizer, layers=2, hidden=hidden, heads=2, seed=seed)
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(spread)
    save_checkpoint(model, tokenizer, folder)
    return folder


def train_job(config: Values, rows: Rows, folder: Path, out: str, models: Mapping[str, Path]) -> Job:
    """A train job in `folder`, whose data is `rows` and whose other inputs are `models`."""
    data = folder / f"data-{out}"
    data.mkdir(parents=True, exist_ok=True)
    write_rows(data / "data.jsonl", rows)
    (folder / out).mkdir(exist_ok=True)
    inputs = {name: Input(f"fetch/{name}", "checkpoint.hf", path, "0" * 64) for name, path in models.items()}
    inputs["data"] = Input("build/data", "dataset", data, "0" * 64)
    return Job("train/toy", "train", "test", "f" * 64, None, config, inputs, folder / out)


def changed(config: Values, **args: Any) -> Values:
    """The config with some of its `args` changed."""
    return {**config, "args": {**config["args"], **args}}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load_model(folder, torch.device("cpu")).state_dict()
    return state


def same(left: Path, right: Path) -> bool:
    """Whether two checkpoints have equal weights, bit for bit."""
    one, other = weights(left), weights(right)
    return all(torch.equal(one[name], other[name]) for name in one)


def log_probability(folder: Path, prompt: str, answer: str) -> float:
    """What the model gives to `answer` (with the end token) after `prompt`, in nats."""
    model, tokenizer = load_model(folder, torch.device("cpu")), load_tokenizer(folder)
    asked = tokenizer.encode(render_prompt(prompt, tokenizer))
    written = [*tokenizer.encode(render_completion(answer, tokenizer)), tokenizer.eos_token_id]
    with torch.no_grad():
        logits = model(torch.tensor([asked + written])).logits[0, len(asked) - 1 : -1]
    return float(logits.log_softmax(-1)[range(len(written)), written].sum())
