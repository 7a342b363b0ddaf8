"""Graders: whether a model's output answers a row. One name, one module; every grader takes and answers in batches.

Rows of a mixture carry the name of their own grader, and `by_row` in place of a name means that one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from runtime.data.rows import Row
from runtime.errors import JobError
from runtime.graders import code, gem, math, qa, reasoning, refusal

BatchGrader = Callable[[Sequence[Row], Sequence[str]], list[bool]]

GRADERS: Mapping[str, BatchGrader] = {
    "math": math.grade_many,
    "code": code.grade_many,
    "qa": qa.grade_many,
    "refusal": refusal.grade_many,
    "reasoning_gym": reasoning.grade_many,
    "gem": gem.grade_many,
}
BY_ROW = "by_row"


def grade(grader: str, row: Row, output: str) -> bool:
    """Whether `output` answers `row` by the named grader, or with `by_row` by the row's own."""
    return grade_many(grader, [row], [output])[0]


def grade_many(grader: str, rows: Sequence[Row], outputs: Sequence[str]) -> list[bool]:
    """`grade` of each (row, output) pair, in order; programs of one batch share one sandbox."""
    if len(rows) != len(outputs):
        raise ValueError(f"{len(rows)} rows but {len(outputs)} outputs")
    if grader != BY_ROW:
        return find_grader(grader)(rows, outputs)
    verdicts = [False] * len(rows)
    for name, places in places_by_grader(rows).items():
        found = find_grader(name)([rows[place] for place in places], [outputs[place] for place in places])
        for place, verdict in zip(places, found, strict=True):
            verdicts[place] = verdict
    return verdicts


def places_by_grader(rows: Sequence[Row]) -> dict[str, list[int]]:
    """The places of the rows that name each grader as their own; raises JobError for a row that names none."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        if not row.get("grader"):
            raise JobError(f"row {row.get('id')} names no grader of its own; a mixture to be graded needs one in every part")
        places[row["grader"]].append(place)
    return dict(places)


def find_grader(name: str) -> BatchGrader:
    """The grader called `name`; raises JobError that lists those there are."""
    if name not in GRADERS:
        raise JobError(f"grader: there is no {name!r}; this runtime has {', '.join(sorted(GRADERS))}")
    return GRADERS[name]
