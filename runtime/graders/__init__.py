"""Graders: whether a model's output answers a row. One name, one module; every grader takes and answers in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from runtime.errors import JobError
from runtime.graders import code, math, qa, refusal
from runtime.rows import Row

BatchGrader = Callable[[Sequence[Row], Sequence[str]], list[bool]]

GRADERS: Mapping[str, BatchGrader] = {
    "math": math.grade_many,
    "code": code.grade_many,
    "qa": qa.grade_many,
    "refusal": refusal.grade_many,
}


def grade(grader: str, row: Row, output: str) -> bool:
    """Whether `output` answers `row` by the named grader."""
    return grade_many(grader, [row], [output])[0]


def grade_many(grader: str, rows: Sequence[Row], outputs: Sequence[str]) -> list[bool]:
    """`grade` of each (row, output) pair, in order; programs of one batch share one sandbox."""
    if len(rows) != len(outputs):
        raise ValueError(f"{len(rows)} rows but {len(outputs)} outputs")
    return find_grader(grader)(rows, outputs)


def find_grader(name: str) -> BatchGrader:
    """The grader called `name`; raises JobError that lists those there are."""
    if name not in GRADERS:
        raise JobError(f"grader: there is no {name!r}; this runtime has {', '.join(sorted(GRADERS))}")
    return GRADERS[name]
