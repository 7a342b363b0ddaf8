"""Job `prepare`: a domain's training and evaluation rows. Config: `source`, and whatever else its source asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime import benchmarks
from runtime.benchmarks.sets import write_sets
from runtime.data.rows import write_rows
from runtime.domains import rows_of
from runtime.errors import JobError
from runtime.job import Job


def run(job: Job) -> Mapping[str, Any]:
    """Write train.jsonl and eval.jsonl; raises JobError if a prompt stands in both. What is unlearned has more sets."""
    config = job.config
    if config["source"] in benchmarks.SOURCES:
        return write_sets(job, config["source"], benchmarks.SOURCES[config["source"]](config))
    made = rows_of(config)
    train, evaluation = made.train, made.eval
    shared = {row["prompt"] for row in train} & {row["prompt"] for row in evaluation}
    if shared:
        raise JobError(f"{job.id}: {len(shared)} prompts stand in both train and eval, as {min(shared)!r}; change the seed")
    write_rows(job.out / "train.jsonl", train)
    write_rows(job.out / "eval.jsonl", evaluation)
    job.progress(len(train), len(train), eval=len(evaluation))
    return {"train": len(train), "eval": len(evaluation), **made.facts}
