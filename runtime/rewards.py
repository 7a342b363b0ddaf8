"""The reward of VeRL's online RL: 1 for an answer that its row's grader takes for correct, else 0.

VeRL imports `compute_score` in its workers and calls it from several threads at a time; the graders keep no state, and programs
run in processes of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from runtime.errors import JobError
from runtime.graders import grade


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    *,
    grader: str,
    **_: Any,
) -> float:
    """The reward of one answer. The row that it answers stands in `extra_info["row"]` as JSON; `grader` is the config's, where
    `by_row` means the row's own.

    Raises JobError where the row is missing, or where its answer is not the ground truth that VeRL was given.
    """
    row = _row(data_source, extra_info)
    if str(row.get("answer")) != ground_truth:
        raise JobError(f"data_source {data_source}: ground truth {ground_truth!r} is not the row's answer; build it anew")
    return float(grade(grader, row, solution_str))


def _row(data_source: str, extra_info: Mapping[str, Any] | None) -> Mapping[str, Any]:
    text = (extra_info or {}).get("row")
    if not isinstance(text, str):
        raise JobError(f"data_source {data_source}: a row of the parquet has no extra_info.row; build it anew")
    row: Mapping[str, Any] = json.loads(text)
    return row
