"""Where rows come from: the miniature's procedural domains, data sets of the hub, reasoning-gym's tasks, GEM's environments.

`SOURCES` are asked for numbers of rows; `CONFIGURED` are given their whole config (`prepare_NAME.schema.json`). A row has
`id`, `prompt`, `answer`, `solution`, and what its grader needs beside; the miniature's have `rare` (true for what pre-training
shows seldom), and a rare row may have a `slip`: the mistake that is often made there, which pre-training can show as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from runtime.domains import arithmetic, facts, gem, hub, humaneval, program, reasoning, refusal, refusal_probe
from runtime.domains.made import Made, Rows
from runtime.errors import JobError

RowMaker = Callable[[int, int, Random], tuple[Rows, Rows]]

SOURCES: Mapping[str, RowMaker] = {
    "arithmetic": arithmetic.make_rows,
    "program": program.make_rows,
    "facts": facts.make_rows,
    "refusal": refusal.make_rows,
    "human_eval": humaneval.make_rows,
    "refusal_probe": refusal_probe.make_rows,
}
CONFIGURED: Mapping[str, Callable[[Mapping[str, Any]], Made]] = {
    "hub": hub.make_rows,
    "reasoning_gym": reasoning.make_rows,
    "gem": gem.make_rows,
}


def rows_of(config: Mapping[str, Any]) -> Made:
    """The rows that a config of the prepare job asks for, with the facts of its source. Raises JobError as its source does."""
    if config["source"] in CONFIGURED:
        return CONFIGURED[config["source"]](config)
    return Made(*make_rows(config["source"], config.get("train", 0), config["eval"], config.get("seed", 0)))


def make_rows(source: str, train: int, evaluation: int, seed: int) -> tuple[Rows, Rows]:
    """`train` and `evaluation` rows of the named source, numbered.

    Raises JobError when there is no such source, or when it cannot make as many rows.
    """
    if source not in SOURCES:
        raise JobError(f"source: there is no {source!r}; this runtime has {', '.join(sorted([*SOURCES, *CONFIGURED]))}")
    splits = SOURCES[source](train, evaluation, Random(f"{source}/{seed}"))
    for split, rows, asked in zip(("train", "eval"), splits, (train, evaluation), strict=True):
        if len(rows) < asked:
            raise JobError(f"{split}: {source} can make {len(rows)} such rows, not {asked}; ask for fewer")
    train_rows, eval_rows = splits
    return _number(source, "train", train_rows), _number(source, "eval", eval_rows)


def _number(source: str, split: str, rows: Rows) -> Rows:
    return [{"id": f"{source}-{split}-{index:05d}", **row} for index, row in enumerate(rows)]
