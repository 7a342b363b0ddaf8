"""Questions without any download: reasoning-gym's tasks and GEM's environments become rows, and their own scorers judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import pytest

from runtime.data.parquet import rl_columns
from runtime.data.rows import read_split
from runtime.errors import JobError
from runtime.graders import grade, grade_many
from runtime.graders.selftest import check_grader
from runtime.job import Job
from runtime.jobs import prepare
from runtime.rewards import compute_score
from tests.runtime.hub_folder import lay_out

MakeJob = Callable[..., Job]
Values = dict[str, Any]
REASONING: Values = {
    "source": "reasoning_gym",
    "tasks": {"chain_sum": {"min_terms": 2, "max_terms": 3}, "family_relationships": {}, "prime_factorization": {}},
    "threshold": 0.99,
    "prompt": {"before": "", "after": "\nAnswer between <answer> and </answer>."},
    "solution": {"before": "I think <answer>", "after": "</answer>"},
    "seed": 11,
    "train": 13,
    "eval": 5,
}
GEM: Values = {
    "source": "gem", "env": "rg:chain_sum", "hub": None, "config": None, "revision": None, "splits": None,
    "prompt": {"before": "", "after": "\nPut it in \\boxed{}."}, "tests": None, "seed": 4, "train": 4, "eval": 3,
}  # fmt: skip
TIMES = " \N{MULTIPLICATION SIGN} "
SUMS = [{"problem": f"What is {n}+{n}?", "answer": str(2 * n)} for n in range(12)]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def prepared(make_job: MakeJob, settings: Mapping[str, Any], name: str = "prepare/x") -> tuple[list[Values], list[Values]]:
    job = make_job(name, settings, {})
    prepare.run(job)
    return read_split(job.out, "train"), read_split(job.out, "eval")


def of_data(tmp_path: Path, env: str, rows: list[Values], **settings: Any) -> Values:
    """The settings of an environment whose data set is a folder with these rows, all in one split."""
    folder = lay_out(tmp_path / "data", {"default": {"train": rows}})
    return {**GEM, "env": env, "hub": str(folder), "splits": {"train": "train", "eval": "train"}, **settings}


def test_tasks_of_reasoning_gym_come_in_turn_seeded_and_never_in_both_splits(make_job: MakeJob) -> None:
    train, evaluation = prepared(make_job, REASONING)
    assert (len(train), len(evaluation)) == (13, 5)
    assert [row["reasoning_gym"]["task"] for row in train[:4]] == [*REASONING["tasks"], "chain_sum"]
    assert len({row["question"] for row in train + evaluation}) == len({row["id"] for row in train + evaluation}) == 18
    assert prepared(make_job, REASONING, "again") == (train, evaluation)
    assert prepared(make_job, REASONING | {"seed": 12}, "other")[0] != train


def test_each_task_is_judged_by_its_own_scorer_and_nothing_empty_is_paid_for(make_job: MakeJob) -> None:
    train, _ = prepared(make_job, REASONING)
    assert all(grade_many("reasoning_gym", train, [row["solution"] for row in train]))
    assert all(grade_many("reasoning_gym", train, [f"The answer is: {row['answer']}" for row in train]))
    assert not any(grade_many("reasoning_gym", train, [f"<answer>{row['answer']}1</answer>" for row in train]))
    factors = next(row for row in train if row["reasoning_gym"]["task"] == "prime_factorization")
    assert grade("reasoning_gym", factors, TIMES.join(reversed(factors["answer"].split(TIMES))))
    assert not grade("reasoning_gym", factors, "__import__('os')._exit(0)")
    check_grader("reasoning_gym", train, sampled=3)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("codeio", "codeio gives other questions for the same seed"),
        ("list_functions", "list_functions gives other questions for the same seed"),
        ("isomorphic_strings", "is not repeatable"),
        ("game_of_life_halting", "row game_of_life_halting-eval-000000 pays for 'the'"),
        ("graph_color", "graph_color tells no answer of its own"),
        ("sonnet_writing", "gives no question: Dataset 'sonnet_writing' not registered"),
    ],
)
def test_a_task_that_cannot_be_trusted_is_refused_with_the_reason(make_job: MakeJob, task: str, said: str) -> None:
    with pytest.raises(JobError, match=said):
        prepared(make_job, REASONING | {"tasks": {task: {}}, "train": 2, "eval": 2})


def test_settings_that_a_task_does_not_take_and_too_few_questions_are_told(make_job: MakeJob) -> None:
    with pytest.raises(JobError, match=r"task chain_sum with .'terms': 2. gives no question"):
        prepared(make_job, REASONING | {"tasks": {"chain_sum": {"terms": 2}}})
    few = {"chain_sum": {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}}
    with pytest.raises(JobError, match=r"chain_sum has \d+ different questions among 2600, not 600; ask for fewer"):
        prepared(make_job, REASONING | {"tasks": few, "train": 500, "eval": 100}, "few")


def test_the_rows_are_rewarded_by_verl_from_many_threads(make_job: MakeJob) -> None:
    train, _ = prepared(make_job, REASONING)
    columns = [rl_columns(row, "reasoning", place) for place, row in enumerate(train)]

    def reward(place: int) -> float:
        found, solution = columns[place // 2], train[place // 2]["solution"] if place % 2 else "<answer>0.5</answer>"
        return compute_score(
            "reasoning", solution, found["reward_model"]["ground_truth"], found["extra_info"], grader="reasoning_gym"
        )

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(reward, range(2 * len(train)))) == [0.0, 1.0] * len(train)


def test_an_environment_of_reasoning_gym_gives_rows_and_judges_them_by_its_step(make_job: MakeJob) -> None:
    train, evaluation = prepared(make_job, GEM)
    assert len({row["prompt"] for row in train + evaluation}) == 7
    assert all(grade_many("gem", train, [row["solution"] for row in train]))
    assert not any(grade_many("gem", train, ["", "\\boxed{}", "\\boxed{the}", train[3]["answer"]]))
    check_grader("gem", train, sampled=2)


def test_gem_s_mathematics_reads_a_data_set_and_steps_in_any_thread(make_job: MakeJob, tmp_path: Path) -> None:
    train, evaluation = prepared(make_job, of_data(tmp_path, "math:GSM8K", SUMS))
    assert len({row["prompt"] for row in train + evaluation}) == 7
    assert train[0]["prompt"].endswith("?\nPut it in \\boxed{}.")
    with ThreadPoolExecutor(4) as threads:
        for grader in ("gem", "math"):
            right = threads.map(lambda row, grader=grader: grade(grader, row, f"So \\boxed{{{row['answer']}}}"), train)
            wrong = threads.map(lambda row, grader=grader: grade(grader, row, f"So \\boxed{{{row['answer']}1}}"), train[:2])
            assert (list(right), list(wrong)) == ([True] * 4, [False] * 2)


def test_gem_s_questions_are_asked_with_its_own_prompt_and_judged_by_both(make_job: MakeJob, tmp_path: Path) -> None:
    rows = [{"problem": f"Who wrote book {n}?", "answer": [f"Author {n}", f"A. {n}"]} for n in range(9)]
    train, _ = prepared(make_job, of_data(tmp_path, "qa:NaturalQuestions", rows))
    assert "<answer> your answer here </answer>" in train[0]["prompt"]
    for grader in ("gem", "qa"):
        assert grade_many(grader, [train[0]] * 3, [train[0]["solution"], "<answer>nobody</answer>", ""]) == [True, False, False]
        check_grader(grader, train, sampled=2)


def test_gem_s_programs_are_run_in_our_sandbox_and_never_by_its_step(make_job: MakeJob, tmp_path: Path) -> None:
    tests = '{"inputs": ["1\\n", "20\\n"], "outputs": ["2\\n", "40\\n"]}'
    rows = [{"problem": f"Double it, variant {n}.", "tests": tests} for n in range(8)]
    settings = of_data(tmp_path, "code:Taco8k", rows, tests={"most": 12, "seconds": 2, "mebibytes": 128})
    train, _ = prepared(make_job, settings)
    assert train[0]["tests"][0] == {"input": "20\n", "output": "40\n"}
    assert grade_many("code", train[:2], ["```python\nprint(2 * int(input()))\n```", "print(2)"]) == [True, False]
    check_grader("code", train, sampled=1)
    with pytest.raises(JobError, match="code:Taco8k runs programs without a sandbox; give its rows the grader code"):
        grade("gem", train[0], "```python\nprint(2)\n```")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"env": "math:GSM9K"}, "GEM has no 'math:GSM9K'; it has math:ASDiv2K, "),
        ({"env": "game:Sudoku-v0-easy"}, "is a SudokuEnv, and rows need one question with one answer in text"),
        ({"env": "math:Geometry3K"}, "is a MathVisualEnv"),
        ({"env": "math:GSM8K"}, "math:GSM8K reads a data set; name it with its revision"),
    ],
)
def test_an_environment_that_gives_no_rows_says_why(make_job: MakeJob, changed: Values, said: str) -> None:
    with pytest.raises(JobError, match=said):
        prepared(make_job, GEM | changed)


def test_a_data_set_without_the_environment_s_columns_or_with_too_few_rows_is_told(make_job: MakeJob, tmp_path: Path) -> None:
    settings = of_data(tmp_path, "math:GSM8K", SUMS, train=40)
    with pytest.raises(JobError, match=r"train: .* gives 9 different rows, not 40; ask for fewer"):
        prepared(make_job, settings)
    with pytest.raises(JobError, match=r"has no column tests; it has problem, answer\. .* another data set"):
        prepared(make_job, settings | {"env": "code:Taco8k", "tests": {"most": 1, "seconds": 1, "mebibytes": 64}}, "other")
