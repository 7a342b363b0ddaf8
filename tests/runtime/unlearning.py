"""Unlearning jobs on toy models: configs of every algorithm as the compiler writes them, and small datasets to forget from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runtime.data.rows import read_rows, write_rows
from runtime.job import Input, Job
from tests.runtime.toys import WORDS, Rows, Values

Make = Callable[..., Job]
COMMON: Values = {
    "lr": 2e-3, "schedule": "constant", "warmup_epochs": 0, "weight_decay": 0.01, "optimizer": "adamw_torch", "adam_beta1": 0.9,
    "adam_beta2": 0.999, "adam_epsilon": 1e-8, "grad_clip": 1.0, "epochs": 3, "steps": None, "batch_size": 4, "max_length": 16,
    "text": "answers", "precision": "fp32", "seed": 0,
}  # fmt: skip
WEIGHTED: Values = {"gamma": 1.0, "alpha": 1.0, "retain_loss": "nll"}
OWN: dict[str, Values] = {
    "finetune": {},
    "grad_ascent": {},
    "grad_diff": WEIGHTED,
    "npo": {**WEIGHTED, "beta": 0.1},
    "simnpo": {**WEIGHTED, "beta": 4.5, "delta": 0.0},
    "alternate_dpo": {**WEIGHTED, "beta": 0.1, "factor": "two_over_beta"},
    "rmu": {
        **WEIGHTED, "retain_loss": "embed_diff", "steering_coeff": 2.0, "module_regex": r"model\.layers\.0",
        "trainable_regex": [".*"], "normalisation": "product_of_means",
    },
    "undial": {**WEIGHTED, "alpha": 0.0, "beta": 10.0, "positions": "all"},
    "ceu": {"ignored_tokens": 1},
    "wga": {**WEIGHTED, "beta": 1.0},
    "satimp": {**WEIGHTED, "beta1": 1.0, "beta2": 1.0},
    "pdu": {
        **WEIGHTED, "retain_loss_eps": 0.3, "primal_dual": True, "dual_step_size": 1.0, "dual_update": "micro_batch",
        "dual_warmup_epochs": 0, "positions": "unshifted",
    },
}  # fmt: skip
METHODS = tuple(name for name in OWN if name != "finetune")
NUMBERS = (*range(4), *range(10, 14))  # answers of one and of two digits, so that batches are ragged
FORGET: Rows = [
    {"id": f"f{word}{n}", "prompt": f"say {word} {n}", "answer": f"{word} {n}", "alternate": f"no {n}"}
    for word in WORDS[:2] for n in NUMBERS
]  # fmt: skip
RETAIN: Rows = [
    {"id": f"r{word}{n}", "prompt": f"say {word} {n}", "answer": f"{word} {n}"} for word in WORDS[2:4] for n in NUMBERS
]
ABOUT: Values = {"pairing": "with_replacement", "seed": 0, "alternates": "none", "draw": None}
EACH_VISIT: Values = {**ABOUT, "alternates": "refusals", "draw": "each_visit"}


def config(algorithm: str, **changes: Any) -> Values:
    """A config of that algorithm; `execution` is laid over what it has, all else replaces a setting."""
    execution = {"devices": 1, "micro_batch_size": 2, "gradient_checkpointing": False, "logging_steps": 1, "save_steps": None,
                 "report_to": "none", **changes.pop("execution", {})}  # fmt: skip
    return {"backend": "native", "algorithm": algorithm, **COMMON, **OWN[algorithm], **changes, "execution": execution}


def unlearning_job(
    given: Values, folder: Path, start: Path, out: str = "out", *, forget: Rows = FORGET, retain: Rows | None = RETAIN,
    about: Values = ABOUT, refusals: Sequence[str] = (),
) -> Job:  # fmt: skip
    """A train job in `folder` on a dataset.unlearning, or for `finetune` on a dataset.sft of the same rows."""
    data = folder / f"data-{out}"
    data.mkdir(parents=True)
    (folder / out).mkdir()
    if given["algorithm"] == "finetune":
        write_rows(data / "data.jsonl", [as_sft(row) for row in forget])
    else:
        write_rows(data / "forget.jsonl", forget)
        (data / "unlearning.json").write_text(json.dumps(about))
        if retain is not None:
            write_rows(data / "retain.jsonl", retain)
        if refusals:
            (data / "refusals.txt").write_text("".join(f"{line}\n" for line in refusals))
    inputs = {"start": Input("fetch/start", "checkpoint.hf", start, "0" * 64), "data": Input("build/d", "any", data, "0" * 64)}
    return Job("train/toy", "train", "test", "f" * 64, None, given, inputs, folder / out)


def as_sft(row: Values) -> Values:
    """A question as a row of a dataset.sft; a text stays as it is."""
    return row if "text" in row else {"id": row["id"], "prompt": row["prompt"], "completion": row["answer"]}


def history(job: Job) -> list[dict[str, Any]]:
    """The entries of a training's log that tell a loss."""
    return [entry for entry in read_rows(job.out / "train_log.jsonl") if "loss" in entry]
