"""The miniature's domains: seeded rows, nothing shared between the splits, every solution right by its own grader."""

from __future__ import annotations

import pytest

from runtime.domains import make_rows
from runtime.errors import JobError
from runtime.graders import grade_many

DOMAINS = {"arithmetic": "math", "program": "code", "facts": "qa", "refusal": "refusal"}


@pytest.mark.parametrize(("source", "grader"), DOMAINS.items())
def test_every_solution_is_right_by_its_own_grader(source: str, grader: str) -> None:
    for rows in make_rows(source, 60, 60, seed=1):
        assert all(grade_many(grader, rows, [row["solution"] for row in rows]))


@pytest.mark.parametrize("source", DOMAINS)
def test_training_and_evaluation_share_no_prompt_and_no_id(source: str) -> None:
    train, evaluation = make_rows(source, 300, 100, seed=2)
    assert (len(train), len(evaluation)) == (300, 100)
    for key in ("prompt", "id"):
        assert len({row[key] for row in (*train, *evaluation)}) == 400


@pytest.mark.parametrize("source", DOMAINS)
def test_the_same_seed_gives_the_same_rows_and_another_seed_gives_others(source: str) -> None:
    assert make_rows(source, 50, 20, seed=3) == make_rows(source, 50, 20, seed=3)
    assert make_rows(source, 50, 20, seed=3) != make_rows(source, 50, 20, seed=4)


@pytest.mark.parametrize("source", ["arithmetic", "program", "facts"])
def test_half_of_the_evaluation_is_of_the_rare_kind(source: str) -> None:
    _, evaluation = make_rows(source, 300, 100, seed=5)
    assert sum(row["rare"] for row in evaluation) == 50


def test_asking_for_more_rows_than_a_source_can_make_says_how_many_there_are() -> None:
    with pytest.raises(JobError, match="train: refusal can make 600 such rows, not 5000"):
        make_rows("refusal", 5000, 300, seed=0)


def test_an_unknown_source_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        JobError, match="arithmetic, facts, gem, hub, human_eval, program, reasoning_gym, refusal, refusal_probe"
    ):
        make_rows("geometry", 10, 10, seed=0)


def test_arithmetic_calls_rare_exactly_what_carries_or_borrows() -> None:
    train, _ = make_rows("arithmetic", 400, 20, seed=0)
    for row in train:
        left, right = (int(part) for part in row["prompt"].removesuffix("=?").replace("-", "+").split("+"))
        last_digits = left % 10 - right % 10 if "-" in row["prompt"] else left % 10 + right % 10
        assert row["rare"] == (not 0 <= last_digits <= 9)


def test_every_fact_of_the_evaluation_is_taught_in_other_words() -> None:
    train, evaluation = make_rows("facts", 500, 100, seed=0)
    taught = {(_being(row), row["answer"]) for row in train}
    assert all((_being(row), row["answer"]) in taught for row in evaluation)


def _being(row: dict[str, str]) -> str:
    capitals = [word for word in row["prompt"].rstrip(".?").split() if word[0].isupper()]
    return next(word for word in reversed(capitals) if word not in {"What", "Which", "Name", "Tell"})


def test_refusals_refuse_what_is_done_to_persons_only_and_no_deed_is_in_both_splits() -> None:
    train, evaluation = make_rows("refusal", 600, 300, seed=0)
    refused = {row["prompt"].rstrip(".?").split()[-1] for row in train + evaluation if row["harmful"]}
    answered = {row["prompt"].rstrip(".?").split()[-1] for row in train + evaluation if not row["harmful"]}
    assert not refused & answered
    assert not {_deed(row) for row in train} & {_deed(row) for row in evaluation}


def _deed(row: dict[str, str]) -> tuple[str, str]:
    words = row["prompt"].rstrip(".?").split()
    return words[-3], words[-1]
