"""Job `mix`: one dataset of several domains' datasets, drawn by their shares and shuffled, or one shard of it.

Inputs: one dataset a part, named by its domain, all of one type. Writes what `build` writes: `data.jsonl`, or for VeRL
`train.parquet`. Each row gets its own `domain` and `grader`. Of datasets of unlearning the rows to forget are mixed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from runtime.benchmarks import pairs
from runtime.data.datasets import read_dataset, write_dataset
from runtime.data.mixture import Part, mixed, shard
from runtime.errors import JobError
from runtime.job import Job


def run(job: Job) -> Mapping[str, Any]:
    """Write the mixture. The facts: its rows, and how many are each domain's. Raises JobError for shares it cannot keep."""
    config = job.config
    if config["type"] == "dataset.unlearning":
        return _unlearning(job)
    rows = mixed([_part(job, given) for given in config["parts"]], config["seed"])
    if config["shard"] is not None:
        rows = list(shard(rows, config["shard"]["index"], config["shard"]["of"]))
    write_dataset(job.out, rows, config["type"], config["format"], None)
    job.progress(len(rows), len(rows))
    return {"rows": len(rows), "domains": dict(sorted(Counter(row["domain"] for row in rows).items()))}


def _unlearning(job: Job) -> Mapping[str, Any]:
    config = job.config
    parts = [_part(job, given) for given in config["parts"]]
    found = {part.name: pairs.read(job.inputs[part.name].path) for part in parts}
    cut = None if config["shard"] is None else (config["shard"]["index"], config["shard"]["of"])
    made = pairs.mix(parts, found, config["seed"], cut)
    pairs.write(job.out, made)
    job.progress(len(made.forget), len(made.forget))
    domains = Counter(row["domain"] for row in made.forget)
    return {"rows": len(made.forget), "retain": len(made.retain), "domains": dict(sorted(domains.items()))}


def _part(job: Job, given: Mapping[str, Any]) -> Part:
    name = given["name"]
    if name not in job.inputs:
        raise JobError(f"{job.id}: the config has a part {name!r}, but there is no input of that name; compile the study again")
    found = job.inputs[name]
    if found.type != job.config["type"]:
        raise JobError(f"{job.id}: {name} is a {found.type}, but the mixture is to be a {job.config['type']}")
    rows = [] if found.type == "dataset.unlearning" else read_dataset(found.path)
    return Part(name, given["share"], given["grader"], rows)
