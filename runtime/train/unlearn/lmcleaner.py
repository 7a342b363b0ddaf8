"""LMCleaner (a draft for ICML 2026): an unlearning without a loss, which corrects a model by the record of its training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from runtime.data.rows import Row, read_rows
from runtime.errors import JobError
from runtime.job import Job
from runtime.models import load_tokenizer, pick_device
from runtime.sampling import item_seed
from runtime.train.recipe import require_known
from runtime.train.unlearn import noise
from runtime.train.unlearn.correction import Correction, Way, summary, walk
from runtime.train.unlearn.curvature import HESSIANS, Curvature
from runtime.train.unlearn.record import read_record
from runtime.train.unlearn.sequences import answer_of, answer_tokens, pad_token

SETTINGS = frozenset({"window", "hessian", "damping", "level", "historical_parameters", "noise", "seed"})
EXECUTION = frozenset({"devices", "micro_batch_size", "save_steps"})
LEVELS = ("batch", "sample")


class Cleaning:
    """A correction of a job's start: the model, whose weights it changes in the end, and what each step did.

    Raises JobError where the start has no record, or where a row to forget is none of those it was trained on.
    """

    def __init__(self, job: Job) -> None:
        self.config = _checked(job.config)
        start, file = job.inputs["start"].path, job.inputs["data"].path / "forget.jsonl"
        record, forget = read_record(start), read_rows(file)
        numbers = _found(forget, record.rows, file)
        self.tokenizer = load_tokenizer(start)
        self.rows = forget
        model: Any = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
        self.model = model.to(pick_device()).eval()
        sequences = [answer_tokens(row["prompt"], str(answer_of(row)), self.tokenizer) for row in record.rows]
        at_once = self.config["execution"]["micro_batch_size"]
        curvature = Curvature(self.model, sequences, pad_token(self.tokenizer), at_once)
        self.end = curvature.weights.clone()
        self.correction = Correction(curvature, record, numbers, _way(self.config))

    def go(self, file: Path, told: Callable[[int, int], bool]) -> bool:
        """Compute the correction and take it from the weights that the training ended with, with noise where that is wanted.

        False where `told(done, total)` wanted a stop before the end: `file` then has the state to go on from.
        """
        if not walk(self.correction, file, self.config["execution"].get("save_steps"), told):
            return False
        released = self.end - self.correction.whole()
        if self.config["noise"] is not None:
            seed = item_seed(self.config["seed"], "noise")
            released += noise.drawn(len(released), self.config["noise"], seed).to(released)
        self.correction.losses.weights.copy_(released)
        return True

    def facts(self) -> Mapping[str, Any]:
        """What the correction came to, in numbers."""
        found = {**summary(self.correction), "rows": len(self.rows), "weights_norm": float(torch.linalg.vector_norm(self.end))}
        if self.config["noise"] is None:
            return found
        along, across = noise.scales(self.config["noise"])
        return {**found, "noise_along": along, "noise_across": across}


def _checked(config: Mapping[str, Any]) -> Mapping[str, Any]:
    require_known(config, SETTINGS | {"backend", "algorithm", "execution"}, "the config of lmcleaner")
    missing = sorted(SETTINGS - set(config))
    if missing:
        raise JobError(f"the config of lmcleaner lacks {', '.join(missing)}; its schema says what each is")
    for name, known in (("hessian", HESSIANS), ("level", LEVELS)):
        if config[name] not in known:
            raise JobError(f"{name}: there is no {config[name]!r}; there are {', '.join(known)}")
    require_known(config["execution"], EXECUTION, "execution")
    return config


def _way(config: Mapping[str, Any]) -> Way:
    return Way(config["window"], config["hessian"], config["damping"], config["level"], config["historical_parameters"])


def _found(forget: Sequence[Row], trained: Sequence[Row], file: Path) -> frozenset[int]:
    """The numbers of the rows to forget among those trained on: the same id, and the same question and answer behind it."""
    places: dict[str, list[int]] = {}
    for number, row in enumerate(trained):
        places.setdefault(row["id"], []).append(number)
    for line, row in enumerate(forget, start=1):
        same = [trained[number] for number in places.get(row["id"], ())]
        if not same or any((one["prompt"], answer_of(one)) != (row["prompt"], answer_of(row)) for one in same):
            what = "has another text there" if same else "is none of them"
            raise JobError(
                f"{file}:{line}: the start was trained on {len(trained)} rows, and {row['id']!r} {what}; let lmcleaner begin "
                "from a model that saw what is to be forgotten"
            )
    return frozenset(number for row in forget for number in places[row["id"]])
