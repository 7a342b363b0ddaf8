"""What trainings and samplings tell of themselves stands in the report: alarms, rates, and prompts that do not agree."""

from __future__ import annotations

from typing import Any

import pytest

from tests.report.conftest import Study

ALARM = {"kind": "no_spread", "first_step": 20, "last_step": 40, "entries": 3, "value": 0.97}
RATES = {"pass_rate": 0.61, "any_pass_rate": 0.9, "clip_rate": 0.02}
PAIRS = {"job": "generate/pairs_math", "kind": "generate", "side": "data", **RATES}


def training(alarms: list[dict[str, Any]], form: str = "aaaa") -> dict[str, Any]:
    return {"job": "train/rl_<b>", "kind": "train", "side": "model", "prompt_form": form, "alarms": alarms}


def measured(study: Study, lineage: list[dict[str, Any]], facts: dict[str, Any] | None = None) -> Study:
    """One cell with everything measured, its scores carrying `lineage`."""
    study.methods, study.domains = ("rl",), ("math",)
    for suite, task in (("math", "gsm"), ("qa", "trivia")):
        study.scores("base_micro", suite, {task: [1, 0, 1]})
        study.scores("rl_math_base_micro", suite, {task: [1, 1, 0]}, facts, lineage)
    return study


def test_an_alarm_stands_in_all_forms_of_the_report_and_names_the_cell(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measured(study, [training([ALARM])]).report() == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "alarms, of 1 trainings that sample: rl_math_base_micro: 97% of the groups have one reward for all answers" in text
    [found] = study.found()["alarms"]
    assert (found["job"], found["cells"], found["kind"], found["value"]) == (
        "train/rl_<b>", ["rl_math_base_micro"], "no_spread", 0.97,
    )  # fmt: skip
    html = next(study.store.glob("report/*/report.html")).read_text()
    assert "97% of the groups have one reward for all answers (3 times, steps 20 to 40)" in html
    assert "train/rl_&lt;b&gt;" in html and "train/rl_<b>" not in html


def test_that_no_alarm_was_raised_is_said_only_where_one_could_have_been(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(study, [training([])]).report()
    assert "alarms: none in 1 trainings that sample" in capsys.readouterr().out
    assert study.found()["alarms"] == []


def test_a_study_without_such_trainings_says_nothing_of_alarms(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    silent = training([])
    del silent["alarms"]
    measured(study, [silent]).report()
    assert "alarm" not in capsys.readouterr().out


def test_a_samplings_rates_stand_in_all_forms_of_the_report(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    measured(study, [PAIRS]).report()
    assert "generate/pairs_math 61.0 90.0 2.0" in " ".join(capsys.readouterr().out.split())
    [found] = study.found()["samplings"]
    assert found == {"job": "generate/pairs_math", "cells": ["rl_math_base_micro"], **RATES}
    assert "generate/pairs_math" in next(study.store.glob("report/*/report.html")).read_text()


def test_a_model_that_is_asked_in_another_form_than_it_was_trained_in_has_no_number(study: Study) -> None:
    measured(study, [training([], form="aaaa")], {"prompt_form": "bbbb"})
    assert study.report() == 3
    problems = study.found()["problems"]
    assert [problem["status"] for problem in problems] == ["error", "error"]
    assert "asked with prompts of form bbbb, while train/rl_<b> trained with form aaaa" in problems[0]["why"]


@pytest.mark.parametrize("changed", [{"prompt_form": "bbbb"}, {"prompt_form": "bbbb", "side": "data"}])
def test_the_same_form_and_a_teachers_own_form_are_no_error(study: Study, changed: dict[str, Any]) -> None:
    facts = {"prompt_form": "aaaa" if "side" in changed else "bbbb"}
    assert measured(study, [{**training([]), **changed}], facts).report() == 0
