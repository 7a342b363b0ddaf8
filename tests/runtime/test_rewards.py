"""The reward that VeRL is given: the row's grader, from any thread, and proven against cheats before VeRL starts."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runtime.data.datasets import write_dataset
from runtime.data.parquet import rl_columns
from runtime.errors import JobError
from runtime.job import Job
from runtime.lifecycle import bracket
from runtime.rewards import check_rewards, compute_score
from tests.tree import Tree

MakeJob = Callable[..., Job]
Values = dict[str, Any]
ROOTS: list[Values] = [
    {"id": f"m{n}", "prompt": f"Root of {n * n * 3}?", "answer": f"{n}\\sqrt{{3}}", "solution": f"\\boxed{{{n}\\sqrt3}}"}
    for n in range(2, 10)
]
VERL = {"path": "pkg://runtime.rewards", "name": "compute_score", "reward_kwargs": {"grader": "math"}}


def training(make_job: MakeJob, tmp_path: Path, rows: list[Values], function: Values | None) -> Job:
    """A training by VeRL on these rows, whose config has that reward function."""
    (tmp_path / "data").mkdir()
    write_dataset(tmp_path / "data", rows, "dataset.rl", "parquet", "math")
    return make_job("train/x", {"reward": {"custom_reward_function": function}}, {"data": tmp_path / "data"})


def test_verl_s_threads_are_all_paid_for_the_same_answers() -> None:
    columns = [rl_columns(row, "math", place) for place, row in enumerate(ROOTS)]

    def reward(place: int) -> float:
        found, row = columns[place // 2], ROOTS[place // 2]
        answer = f"\\boxed{{\\sqrt{{3}} \\cdot {row['answer'].partition(chr(92))[0]}}}" if place % 2 else "\\boxed{\\sqrt{3}}"
        return compute_score("math", answer, found["reward_model"]["ground_truth"], found["extra_info"], grader="math")

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(reward, range(2 * len(ROOTS)))) == [0.0, 1.0] * len(ROOTS)


def test_a_training_whose_rows_pay_for_their_solutions_alone_may_start(make_job: MakeJob, tmp_path: Path) -> None:
    check_rewards(training(make_job, tmp_path, ROOTS, VERL))


def test_a_training_whose_rows_pay_for_nothing_or_not_for_their_solution_does_not_start(
    make_job: MakeJob, tmp_path: Path
) -> None:
    spoilt = [*ROOTS[:3], {**ROOTS[3], "solution": "\\boxed{7}"}]
    with pytest.raises(JobError, match="grader math: row m5 scores its own solution"):
        check_rewards(training(make_job, tmp_path, spoilt, VERL))


@pytest.mark.parametrize("function", [None, {**VERL, "path": "pkg://elsewhere.rewards"}])
def test_rewards_of_others_are_none_of_ours(make_job: MakeJob, tmp_path: Path, function: Values | None) -> None:
    check_rewards(training(make_job, tmp_path, [{**ROOTS[0], "solution": "\\boxed{7}"}], function))


def test_launching_verl_asks_first_and_leaves_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(tmp_path)
    tree.add("train/x", output="checkpoint.shards", config={"reward": {"custom_reward_function": VERL}})
    contract = json.loads(tree.contract("train/x").read_text())
    data = {"job": "build/x", "type": "dataset.rl", "path": "data", "fingerprint": "f" * 64, "required": False}
    tree.contract("train/x").write_text(json.dumps({**contract, "inputs": {"data": data}}))
    (tree.store / "data").mkdir(parents=True)
    spoilt = [{**ROOTS[0], "solution": "\\boxed{7}"}]
    write_dataset(tree.store / "data", spoilt, "dataset.rl", "parquet", "math")
    monkeypatch.setenv("LETHE_STORE", str(tree.store))
    with pytest.raises(JobError, match="scores its own solution"):
        bracket.launch(tree.contract("train/x"), ["touch", str(tmp_path / "started")], marked=False)
    assert not (tmp_path / "started").exists()
