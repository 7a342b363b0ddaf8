"""Selection: which rows and sampled answers become training data, for every set of traces that there can be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.data.selection import (
    Selection,
    at_least,
    balanced,
    correct_vs_incorrect,
    first_correct,
    limited,
    privileged_solution,
    privileged_trace,
    prompts,
    supervised,
    truth_vs_own,
)

Trace = dict[str, Any]


def sampled(text: str, correct: bool, finished: bool = True) -> dict[str, Any]:
    return {"text": text, "correct": correct, "finished": finished}


def question(name: str, *samples: dict[str, Any], solution: str = "the solution") -> Trace:
    return {"id": name, "prompt": f"prompt of {name}", "answer": "a", "solution": solution, "samples": list(samples)}


samples_of = st.lists(
    st.builds(sampled, st.sampled_from(["one", "two", "three", " ", ""]), st.booleans(), st.booleans()), max_size=8
)
traces_of = st.lists(samples_of, max_size=6).map(
    lambda answers: [question(f"q{index}", *samples) for index, samples in enumerate(answers)]
)


def test_ground_truth_is_the_solution() -> None:
    chosen = supervised([question("q", solution="1+1 is 2"), question("empty", solution="")])
    assert chosen == Selection(({"id": "q", "prompt": "prompt of q", "completion": "1+1 is 2"},), {"no solution": 1})


def test_first_correct_takes_the_first_that_is_correct_and_finished() -> None:
    trace = question("q", sampled("wrong", False), sampled("cut", True, False), sampled("right", True), sampled("too", True))
    assert first_correct([trace]).rows == ({"id": "q", "prompt": "prompt of q", "completion": "right"},)


def test_questions_without_a_correct_answer_are_counted() -> None:
    traces = [question("a", sampled("wrong", False)), question("b", sampled("cut off", True, False)), question("c")]
    assert first_correct(traces) == Selection((), {"no correct answer": 3})


def test_balanced_takes_as_many_of_each_question_or_none() -> None:
    rich = question("rich", *(sampled(text, True) for text in ("one", "one", "two", "three")))
    poor = question("poor", sampled("one", True), sampled("one", True))
    chosen = balanced([rich, poor], per_question=2)
    assert [row["completion"] for row in chosen.rows] == ["one", "two"]
    assert chosen.dropped == {"fewer than 2 different correct answers": 1}


def test_at_least_takes_the_correct_answers_of_questions_that_are_solved_so_often() -> None:
    often = question("often", *(sampled(text, True) for text in ("one", "one", "two")), sampled("wrong", False))
    seldom = question("seldom", sampled("one", True), sampled("cut", True, False), sampled("wrong", False))
    never = question("never", sampled("wrong", False))
    chosen = at_least([often, seldom, never], least=2, per_question=None)
    assert [(row["id"], row["completion"]) for row in chosen.rows] == [("often", "one"), ("often", "two")]
    assert chosen.dropped == {"fewer than 2 correct answers": 1, "no correct answer": 1}
    assert [row["completion"] for row in at_least([often], least=3, per_question=1).rows] == ["one"]
    assert at_least([often], least=4, per_question=1).rows == ()


@given(traces_of, st.integers(1, 4))
def test_a_question_of_which_one_correct_answer_is_enough_is_a_question_with_a_first(traces: list[Trace], least: int) -> None:
    first = first_correct(traces).rows
    assert at_least(traces, least=1, per_question=1).rows == first
    stricter = {row["id"] for row in at_least(traces, least, None).rows}
    assert stricter <= {row["id"] for row in first}


def test_pairs_prefer_rejected_answers_that_ended() -> None:
    trace = question("q", sampled("right", True), sampled("cut", False, False), sampled("wrong", False))
    assert [row["rejected"] for row in correct_vs_incorrect([trace], per_question=4, seed=0).rows] == ["wrong"]
    only_cut = question("q", sampled("right", True), sampled("cut", False, False))
    assert [row["rejected"] for row in correct_vs_incorrect([only_cut], per_question=4, seed=0).rows] == ["cut"]


def test_pairs_say_why_a_question_gives_none() -> None:
    traces = [question("all right", sampled("x", True)), question("all wrong", sampled("x", False))]
    chosen = correct_vs_incorrect(traces, per_question=1, seed=0)
    assert chosen == Selection((), {"no correct answer": 1, "no incorrect answer": 1})


@given(traces_of, st.integers(1, 5), st.integers(0, 3))
def test_a_pair_is_of_one_questions_own_samples(traces: list[Trace], per_question: int, seed: int) -> None:
    chosen = correct_vs_incorrect(traces, per_question, seed)
    by_id = {trace["id"]: trace for trace in traces}
    for row in chosen.rows:
        samples = by_id[row["id"]]["samples"]
        assert any(s["text"] == row["chosen"] and s["correct"] and s["finished"] for s in samples)
        assert any(s["text"] == row["rejected"] and not s["correct"] for s in samples)
    pairs = [(row["id"], row["chosen"], row["rejected"]) for row in chosen.rows]
    assert len(set(pairs)) == len(pairs)
    assert all(sum(row["id"] == name for row in chosen.rows) <= per_question for name in by_id)


@given(traces_of, st.integers(1, 5), st.integers(0, 3))
def test_a_questions_pairs_do_not_depend_on_the_other_questions(traces: list[Trace], per_question: int, seed: int) -> None:
    together = correct_vs_incorrect(traces, per_question, seed).rows
    alone = [row for trace in traces for row in correct_vs_incorrect([trace], per_question, seed).rows]
    assert list(together) == alone


@given(traces_of)
def test_every_question_is_kept_or_counted(traces: list[Trace]) -> None:
    for chosen in (first_correct(traces), correct_vs_incorrect(traces, 2, 0), privileged_trace(traces)):
        assert len({row["id"] for row in chosen.rows}) + sum(chosen.dropped.values()) == len(traces)


def test_prompts_keep_what_a_grader_needs() -> None:
    row = {"id": "q", "prompt": "p", "answer": "a", "solution": "s", "tests": [{"call": "f(1)", "result": "2"}]}
    assert prompts([row]).rows == (row,)


def test_privileged_rows_show_the_solution_or_a_correct_trace_and_nothing_else_of_them() -> None:
    trace = question("q", sampled("wrong", False), sampled("right", True), solution="full")
    expected = {"id": "q", "prompt": "prompt of q", "answer": "a"}
    assert privileged_solution([trace]).rows == ({**expected, "privileged": "full"},)
    assert privileged_trace([trace]).rows == ({**expected, "privileged": "right"},)


@given(st.integers(0, 30), st.integers(1, 30), st.integers(0, 5))
def test_a_limit_keeps_order_and_counts_what_it_leaves_out(count: int, limit: int, seed: int) -> None:
    whole = Selection(tuple({"id": index} for index in range(count)), {"no solution": 3})
    kept = limited(whole, limit, seed)
    ids = [row["id"] for row in kept.rows]
    assert len(ids) == min(count, limit) and ids == sorted(set(ids))
    assert kept.dropped.get("over the limit", 0) == count - len(ids) and kept.dropped["no solution"] == 3
    assert kept == limited(whole, limit, seed)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_seed_decides_which_rows_a_limit_keeps(seed: int) -> None:
    whole = Selection(tuple({"id": index} for index in range(1000)), {})
    assert limited(whole, 500, seed) != limited(whole, 500, 0)


@given(traces=traces_of, before=samples_of, per_question=st.integers(1, 3), seed=st.integers(0, 5))
def test_self_play_pairs_the_solution_with_the_models_own_answers(
    traces: list[Trace], before: list[dict[str, Any]], per_question: int, seed: int
) -> None:
    asked = [{**trace, "samples_before": before, "solution": "one"} for trace in traces]
    found = truth_vs_own(asked, per_question, seed)
    assert found == truth_vs_own(asked, per_question, seed)
    for trace in asked:
        pairs = [row for row in found.rows if row["id"] == trace["id"]]
        own = {sample["text"] for sample in [*trace["samples"], *before]}
        assert all(row["chosen"] == "one" and row["rejected"] in own - {"one", "", " "} for row in pairs)
        assert len({row["rejected"] for row in pairs}) == len(pairs) <= 2 * per_question


def test_self_play_drops_what_teaches_nothing_and_says_why() -> None:
    asked = [
        question("q0", sampled("right", True), solution="right"),
        question("q1", sampled("", False)),
        question("q2", sampled("cut off", False, finished=False), sampled("whole", False)),
        question("q3", sampled("cut off", False, finished=False)),
        question("q4", sampled("x", False), solution=""),
    ]
    found = truth_vs_own(asked, 2, 0)
    assert [(row["id"], row["rejected"]) for row in found.rows] == [("q2", "whole"), ("q3", "cut off")]
    assert found.dropped == {"every own answer is the solution": 1, "no own answer": 1, "no solution": 1}
