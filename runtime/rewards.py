"""The reward of VeRL's online RL: 1 for an answer that its row's grader takes for correct, else 0.

VeRL imports `compute_score` in its workers and calls it from several threads at a time (its reward managers use an executor).
The graders keep no state and set no alarm; what may take for ever, or runs what a model wrote, runs in processes of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from runtime.data.datasets import read_dataset
from runtime.errors import JobError
from runtime.graders import grade
from runtime.graders.selftest import check_grader
from runtime.job import Job

OURS = "pkg://runtime.rewards"


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


def check_rewards(job: Job) -> None:
    """Before VeRL trains by our reward: raise JobError unless the grader pays for the data's own solutions and for no cheat."""
    function = (job.config.get("reward") or {}).get("custom_reward_function") or {}
    if function.get("path") == OURS and "data" in job.inputs:
        check_grader(function["reward_kwargs"]["grader"], read_dataset(job.inputs["data"].path))


def _row(data_source: str, extra_info: Mapping[str, Any] | None) -> Mapping[str, Any]:
    text = (extra_info or {}).get("row")
    if not isinstance(text, str):
        raise JobError(f"data_source {data_source}: a row of the parquet has no extra_info.row; build it anew")
    row: Mapping[str, Any] = json.loads(text)
    return row
