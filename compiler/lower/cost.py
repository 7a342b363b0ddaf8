"""What a training takes, as far as its settings tell: rows, steps, tokens, hours, storage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compiler.backends import Part
from compiler.language.definitions import Algorithm
from compiler.slurm import hours

WEIGHT_BYTES = 4  # a weight in a saved checkpoint, in float32
STATE_BYTES = 12  # a weight in a trainer's own shards, with Adam's two moments


@dataclass(frozen=True)
class Cost:
    """A training in numbers; None where it cannot be known before the data is there.

    `examples` are the rows of its dataset, `tokens` the most that all its steps can read or write.
    """

    examples: int | None = None
    steps: int | None = None
    steps_an_epoch: int | None = None
    seen: int | None = None
    tokens: int | None = None
    hours: float | None = None


def planned(algorithm: Algorithm, part: Part, examples: int | None, settings: Mapping[str, Any]) -> Cost:
    """The cost of a training on so many rows, whose settings are right."""
    an_epoch = part.epoch(examples, settings) if examples else None
    steps, epochs = _count(settings.get("steps")), settings.get("epochs")
    if steps is None and an_epoch is not None and epochs is not None:
        steps = math.ceil(epochs * an_epoch - 1e-9)
    rows = settings["batch_size"] * settings.get("batches_per_rollout", 1)
    seen, row = steps * rows if steps else None, _row_tokens(settings)
    took = steps * algorithm.pace / 3600 if steps and algorithm.pace else None
    return Cost(examples, steps, an_epoch, seen, seen * row if seen and row else None, took)


def _row_tokens(settings: Mapping[str, Any]) -> int | None:
    """The most tokens that one row can be, with all the answers that are sampled for it."""
    whole = _count(settings.get("max_length"))
    prompt, answer = _count(settings.get("max_prompt_tokens")), _count(settings.get("max_answer_tokens"))
    if prompt and answer:
        return (prompt + answer) * (_count(settings.get("group_size")) or 1)
    return whole


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def mixed(sizes: Sequence[int | None], shares: Sequence[float | None]) -> int | None:
    """How many rows a mix has: all of them, or as many as its shares allow without any part running out."""
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return None
    given = [share for share in shares if share is not None]
    if len(given) < len(shares):
        return sum(known)
    whole = sum(given)
    total = min(size * whole / share for size, share in zip(known, given, strict=True))
    return sum(int(total * share / whole + 1e-9) for share in given)


def part_of(rows: int | None, shard: tuple[int, int] | None) -> int | None:
    """How many rows one of several near-equal parts of a pool has; the first ones take what is left over."""
    if rows is None or shard is None:
        return rows
    index, many = shard
    return rows // many + (index <= rows % many)


def job_cost(cost: Cost | None, resources: Mapping[str, Any], output: str, weights: float | None) -> dict[str, Any]:
    """What plan.json says of a job: a training's numbers, GPU-hours at its time limit, and bytes of its checkpoints."""
    limit = hours(resources["time"])
    found: dict[str, Any] = {"gpu_hours": float(resources["gpus"]) * limit, "limit_hours": limit, "storage": None}
    if output.startswith("checkpoint.") and weights:
        each = STATE_BYTES if output == "checkpoint.shards" else WEIGHT_BYTES
        found["storage"] = weights * each
    if cost is not None:
        found |= {"examples": cost.examples, "steps": cost.steps, "tokens": cost.tokens, "hours": cost.hours}
    return found
