"""The miniature's world: procedural domains. Each is a module that makes disjoint training and evaluation rows.

A row has `id`, `prompt`, `answer`, `solution` and `rare` (true for what pre-training shows seldom), and what its grader
needs beside. A rare row may have a `slip`: the mistake that is often made there, which pre-training can show as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from runtime.domains import arithmetic, facts, program, refusal
from runtime.errors import JobError

Rows = list[dict[str, Any]]
RowMaker = Callable[[int, int, Random], tuple[Rows, Rows]]

SOURCES: Mapping[str, RowMaker] = {
    "arithmetic": arithmetic.make_rows,
    "program": program.make_rows,
    "facts": facts.make_rows,
    "refusal": refusal.make_rows,
}


def make_rows(source: str, train: int, evaluation: int, seed: int) -> tuple[Rows, Rows]:
    """`train` and `evaluation` rows of the named source, numbered.

    Raises JobError when there is no such source, or when it cannot make as many rows.
    """
    if source not in SOURCES:
        raise JobError(f"source: there is no {source!r}; this runtime has {', '.join(sorted(SOURCES))}")
    splits = SOURCES[source](train, evaluation, Random(f"{source}/{seed}"))
    for split, rows, asked in zip(("train", "eval"), splits, (train, evaluation), strict=True):
        if len(rows) < asked:
            raise JobError(f"{split}: {source} can make {len(rows)} such rows, not {asked}; ask for fewer")
    train_rows, eval_rows = splits
    return _number(source, "train", train_rows), _number(source, "eval", eval_rows)


def _number(source: str, split: str, rows: Rows) -> Rows:
    return [{"id": f"{source}-{split}-{index:05d}", **row} for index, row in enumerate(rows)]
