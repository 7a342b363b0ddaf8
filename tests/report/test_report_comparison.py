"""What one cell's numbers on one suite are made of, and when there must be none."""

from __future__ import annotations

import json

import pytest


def put(study, before, after, *, facts_before=None, facts_after=None):
    """One cell, trained on math, before and after on the suite `math`."""
    study.scores("base_micro", "math", before, facts_before)
    return study.scores("sft_math_base_micro", "math", after, facts_after)


def test_before_after_change_forgetting_and_transfer_of_one_suite(small):
    put(small, {"gsm": [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]}, {"gsm": [0, 1, 1, 1, 1, 1, 0, 0, 0, 0]})
    result = small.result("math")
    assert (result["n"], result["before"], result["after"]) == (10, pytest.approx(0.3), pytest.approx(0.5))
    assert (result["forgetting"], result["backward_transfer"]) == (pytest.approx(0.1), pytest.approx(0.3))
    assert result["delta"] == pytest.approx(0.2)
    assert result["low"] < 0 < result["high"] and result["beyond"] == 0


def test_items_are_paired_by_id_and_not_by_line(small):
    folder = put(small, {"gsm": [1, 0, 1, 0]}, {"gsm": [1, 0, 1, 0]})
    lines = (folder / "items.jsonl").read_text().splitlines()
    (folder / "items.jsonl").write_text("\n".join(reversed(lines)) + "\n")
    result = small.result("math")
    assert (result["forgetting"], result["backward_transfer"]) == (0, 0)


def test_bools_and_graded_outcomes_are_both_outcomes(small):
    put(small, {"gsm": [True, False, 0.5, 0.25]}, {"gsm": [True, True, 0.25, 0.75]})
    result = small.result("math")
    assert result["forgetting"] == pytest.approx(0.25 / 4)
    assert result["backward_transfer"] == pytest.approx(1.5 / 4)
    assert result["after"] - result["before"] == pytest.approx(result["backward_transfer"] - result["forgetting"])


def test_a_suite_of_several_tasks_is_their_mean_whatever_their_sizes(small):
    small.suites = [{"name": "math", "tasks": ["gsm", "aime"], "domain": "math"}, small.suites[1]]
    put(small, {"gsm": [0] * 8, "aime": [1, 1]}, {"gsm": [1] * 8, "aime": [0, 1]})
    result = small.result("math")
    assert (result["n"], result["before"], result["after"]) == (10, 0.5, 0.75)
    assert (result["forgetting"], result["backward_transfer"]) == (0.25, 0.5)
    assert result["tasks"]["aime"]["delta"] == -0.5


CONFLICTS = {
    "prompts": (
        {"gsm": [1, 0]},
        {"gsm": [1, 1]},
        {"tasks": {"gsm": {"n": 2, "correct": 2, "prompt_hash": "other"}}},
        "prompted differently",
    ),
    "versions": ({"gsm": [1, 0]}, {"gsm": [1, 1]}, {"version": 2}, "version '1' before, '2' after"),
    "suites": ({"gsm": [1, 0]}, {"gsm": [1, 1]}, {"suite": "other"}, "of suite 'other', not 'math'"),
    "tasks": ({"gsm": [1, 0]}, {"gsm": [1, 1], "aime": [1]}, {}, "the tasks after are aime, gsm; the suite's are gsm"),
    "items": ({"gsm": [1, 0]}, {"gsm": [1, 1, 0]}, {}, "0 items only before and 1 only after, for example 'gsm-002'"),
}


@pytest.mark.parametrize("kind", CONFLICTS)
def test_sides_that_were_not_measured_alike_are_an_error_and_get_no_number(small, kind):
    before, after, facts, said = CONFLICTS[kind]
    put(small, before, after, facts_after=facts)
    result = small.result("math")
    assert result["status"] == "error" and said in result["why"]
    assert "delta" not in result
    assert small.report() == 3


SPOILED = {
    "cut": (lambda text: text[:-20], "items.jsonl, line 2 is no JSON"),
    "twice": (lambda text: text.replace("gsm-001", "gsm-000"), "has item 'gsm-000' of task 'gsm' twice"),
    "fewer": (lambda text: text.splitlines()[0] + "\n", "counts 1 of 2, its items 1 of 1"),
    "other": (lambda text: text.replace('"correct": 0', '"correct": 1'), "counts 1 of 2, its items 2 of 2"),
    "outside": (lambda text: text.replace('"correct": 0', '"correct": 7'), "an outcome lies between 0 and 1"),
    "nothing": (lambda text: "", "has no item of task 'gsm'"),
    "list": (lambda text: "[]\n", "items.jsonl, line 1 is no JSON object"),
    "unknown": (lambda text: text.replace('"gsm"', '"aime"'), "has task 'aime', which scores.json lacks"),
    "no id": (lambda text: text.replace('"id"', '"name"'), "line 1 lacks a usable 'id'"),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_a_done_result_whose_files_contradict_themselves_is_an_error(small, kind):
    spoil, said = SPOILED[kind]
    folder = put(small, {"gsm": [1, 0]}, {"gsm": [1, 0]})
    (folder / "items.jsonl").write_text(spoil((folder / "items.jsonl").read_text()))
    result = small.result("math")
    assert result["status"] == "error" and said in result["why"]
    assert "evaluate/sft_math_base_micro.math" in result["why"]


def test_a_done_result_without_its_files_is_an_error(small):
    folder = put(small, {"gsm": [1, 0]}, {"gsm": [1, 0]})
    (folder / "items.jsonl").unlink()
    assert small.result("math")["status"] == "error"


def test_different_hardware_is_noted_and_compared(small):
    put(
        small,
        {"gsm": [1, 0]},
        {"gsm": [1, 1]},
        facts_before={"hardware": "A100", "dtype": "bfloat16"},
        facts_after={"hardware": "L40S", "dtype": "bfloat16"},
    )
    found = small.found()
    assert found["notes"] == ["math: hardware A100 before, L40S after (1 results, first sft_math_base_micro)"]
    assert found["suites"][0]["hardware"] == ["A100", "L40S"]
    assert found["complete"]


def test_many_answers_cut_short_are_noted(small):
    folder = put(small, {"gsm": [1, 0]}, {"gsm": [1, 0]})
    items = [json.loads(line) | {"finished": False} for line in (folder / "items.jsonl").read_text().splitlines()]
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    found = small.found()
    assert "cut short" in found["notes"][0]
    assert found["sections"][0]["cells"][0]["results"]["math"]["tasks"]["gsm"]["unfinished"] == [0, 2]


def test_a_trained_domain_within_a_mixed_suite_is_a_column_of_its_own(make_study):
    mixed = ({"name": "all", "tasks": ["math", "qa", "arc", "piqa"], "domain": None},)
    study = make_study(methods=("sft",), suites=mixed).everything([1, 0], [1, 0], [1, 1])
    found = study.found()
    assert [(s["name"], s["domains"], s["tasks"]) for s in found["suites"]] == [
        ("all/math", ["math"], ["math"]),
        ("all/qa", ["qa"], ["qa"]),
        ("all", [], ["arc", "piqa"]),
    ]
    results = found["sections"][0]["cells"][0]["results"]
    assert {name: result["trained"] for name, result in results.items()} == {"all/math": True, "all/qa": False, "all": False}
    (method,) = found["sections"][0]["methods"]
    assert (method["trained_domain"]["results"], method["other_suites"]["results"]) == (2, 4)


def test_a_mixed_suite_must_still_have_all_its_tasks(make_study):
    mixed = ({"name": "all", "tasks": ["math", "arc"], "domain": None},)
    study = make_study(methods=("sft",), domains=("math",), suites=mixed)
    study.scores("base_micro", "all", {"math": [1, 0], "arc": [1, 0]})
    study.scores("sft_math_base_micro", "all", {"math": [1, 0]})
    assert study.result("all/math")["why"] == "the tasks after are math; the suite's are arc, math"


def test_cells_measured_in_different_versions_are_noted(small):
    put(small, {"gsm": [1, 0]}, {"gsm": [1, 1]}, facts_before={"version": 1}, facts_after={"version": 2})
    assert small.found()["notes"] == ["math: measured in versions 1, 2; cells of different versions do not compare"]
