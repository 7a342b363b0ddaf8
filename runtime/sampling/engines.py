"""What samples for a job: a model in this process, or a vLLM server beside it, as the job's config says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import JobError
from runtime.job import Job
from runtime.models import load_model, load_tokenizer
from runtime.sampling import Decoding, OnBatch, Sample, sample

ENGINES = ("transformers", "vllm")

Draw = Callable[[Sequence[str], Sequence[int], Decoding, OnBatch], list[Sample]]


@dataclass(frozen=True)
class Engine:
    """A checkpoint that is ready: `draw_all(prompts, seeds, decoding, on_batch)` gives a sample for each rendered prompt.

    Some of them may be failures.
    """

    tokenizer: Any
    dtype: str
    draw_all: Draw

    def draw(self, prompts: Sequence[str], seeds: Sequence[int], decoding: Decoding, on_batch: OnBatch) -> list[Sample]:
        """The samples, for a job that needs them all. Raises JobError at the first that failed."""

        def told(drawn: Mapping[int, Sample]) -> None:
            for answer in drawn.values():
                if answer.failed:
                    raise JobError(answer.failed)
            on_batch(drawn)

        return self.draw_all(prompts, seeds, decoding, told)


def check_engine(job: Job) -> str:
    """The engine that the job's config names. Raises JobError for one that this runtime does not have."""
    engine = str(job.config.get("engine", "transformers"))
    if engine not in ENGINES:
        raise JobError(f"engine: this runtime has no {engine!r}; it has {' and '.join(ENGINES)}")
    return engine


@contextmanager
def open_engine(job: Job, folder: Path) -> Iterator[Engine]:
    """The checkpoint in `folder`, ready to answer for as long as one is inside."""
    tokenizer = load_tokenizer(folder)
    if check_engine(job) == "transformers":
        model = load_model(folder)
        yield Engine(tokenizer, str(model.dtype).removeprefix("torch."), lambda *asked: sample(model, tokenizer, *asked))
        return
    from runtime.sampling import vllm

    with vllm.serve(folder, job.config, job.out) as server:
        yield Engine(
            tokenizer,
            _stored_dtype(folder),
            lambda prompts, *asked: server.sample(
                [tokenizer.encode(text, add_special_tokens=False) for text in prompts], *asked
            ),
        )


def _stored_dtype(folder: Path) -> str:
    """The precision of a checkpoint's weights, in which vLLM runs them (float32 as float16 or bfloat16)."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return str(config.get("dtype") or config.get("torch_dtype"))
