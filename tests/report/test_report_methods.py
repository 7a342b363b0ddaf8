"""What is said of a method: its mean where it trained and elsewhere, and the verdict."""

from __future__ import annotations

import pytest

BEFORE = [1] * 40 + [0] * 60
BETTER = [1] * 70 + [0] * 30
WORSE = [0] * 30 + [1] * 10 + [0] * 60
CHURN = [0] * 4 + [1] * 36 + [1] * 4 + [0] * 56


def only_method(study):
    methods = [method for section in study.found()["sections"] for method in section["methods"]]
    assert len(methods) == 1
    return methods[0]


@pytest.fixture
def one_method(study):
    study.methods = ("sft",)
    return study


VERDICTS = [
    (BETTER, WORSE, "learns and forgets"),
    (BETTER, CHURN, "learns, no net loss seen"),
    (BETTER, BETTER, "learns, improves elsewhere"),
    (CHURN, WORSE, "forgets without learning"),
    (CHURN, CHURN, "no change seen"),
    (BEFORE, BEFORE, "no change seen"),
    (CHURN, BETTER, "improves only elsewhere"),
    (WORSE, WORSE, "worse everywhere"),
    (WORSE, CHURN, "worse where trained"),
    (WORSE, BETTER, "unlearns, better elsewhere"),
]


@pytest.mark.parametrize(("home", "away", "verdict"), VERDICTS)
def test_the_verdict_says_what_is_beyond_the_interval(one_method, home, away, verdict):
    assert only_method(one_method.everything(BEFORE, home, away))["verdict"] == verdict


def test_gain_is_the_mean_on_the_trained_domain_and_forgetting_that_on_the_other_suites(one_method):
    method = only_method(one_method.everything(BEFORE, BETTER, CHURN))
    trained, others = method["trained_domain"], method["other_suites"]
    assert (trained["delta"], trained["results"]) == (pytest.approx(0.3), 2)
    assert (others["delta"], others["results"]) == (pytest.approx(0), 2)
    assert others["forgetting"] == others["backward_transfer"] == pytest.approx(0.04)


def test_losses_and_gains_elsewhere_are_counted_when_beyond_their_interval(one_method):
    assert only_method(one_method.everything(BEFORE, BETTER, WORSE))["losses_beyond_interval"] == 2


def test_the_same_items_in_two_cells_do_not_count_as_twice_the_evidence(make_study):
    """Two domains trained, both measured on a third: the mean of two equal changes is exactly as sure as one of them."""
    general = ({"name": "general", "tasks": ["arc"], "domain": None},)
    one = make_study(methods=("sft",), domains=("math",), suites=general).everything(BEFORE, BETTER, WORSE)
    two = make_study(methods=("sft",), domains=("math", "qa"), suites=general).everything(BEFORE, BETTER, WORSE)
    alone, twice = (only_method(study)["other_suites"] for study in (one, two))
    assert (twice["low"], twice["high"]) == pytest.approx((alone["low"], alone["high"]))


def test_different_items_do(make_study):
    def suites(*tasks):
        return tuple({"name": task, "tasks": [task], "domain": None} for task in tasks)

    one = make_study(methods=("sft",), domains=("math",), suites=suites("arc")).everything(BEFORE, BETTER, WORSE)
    four = make_study(methods=("sft",), domains=("math",), suites=suites("arc", "piqa", "boolq", "mmlu")).everything(
        BEFORE, BETTER, WORSE
    )
    width_of_one, width_of_four = (s["high"] - s["low"] for s in (only_method(study)["other_suites"] for study in (one, four)))
    assert width_of_four == pytest.approx(width_of_one / 2)


def test_a_suite_of_many_tasks_weighs_as_much_as_one_of_a_single_task(make_study):
    suites = (
        {"name": "few", "tasks": ["arc"], "domain": None},
        {"name": "many", "tasks": ["piqa", "boolq", "mmlu"], "domain": None},
    )
    study = make_study(methods=("sft",), domains=("math",), suites=suites)
    for suite, after in zip(suites, (WORSE, BETTER), strict=True):
        study.scores("base_micro", suite["name"], dict.fromkeys(suite["tasks"], BEFORE))
        study.scores("sft_math_base_micro", suite["name"], dict.fromkeys(suite["tasks"], after))
    others = only_method(study)["other_suites"]
    assert others["delta"] == pytest.approx(0)
    assert (others["forgetting"], others["backward_transfer"]) == (pytest.approx(0.15), pytest.approx(0.15))


def test_a_method_that_lacks_results_is_partial_and_its_mean_covers_what_is_there(one_method):
    one_method.everything(BEFORE, BETTER, CHURN)
    (one_method.folder("evaluate/sft_qa_base_micro.qa") / "DONE.json").unlink()
    method = only_method(one_method)
    assert (method["found"], method["planned"]) == (3, 4)
    assert method["trained_domain"]["results"] == 1


def test_a_method_without_any_result_has_no_verdict(one_method):
    method = only_method(one_method)
    assert method["verdict"] == "no result yet"
    assert method["trained_domain"] is method["other_suites"] is None


def test_a_method_measured_only_elsewhere_or_only_at_home_says_so(make_study):
    elsewhere = make_study(methods=("sft",), domains=("code",)).everything(BEFORE, BETTER, WORSE)
    assert only_method(elsewhere)["verdict"] == "forgets; no suite of its own domain"
    home = make_study(methods=("sft",), domains=("math",), suites=({"name": "math", "tasks": ["gsm"], "domain": "math"},))
    assert only_method(home.everything(BEFORE, BETTER, WORSE))["verdict"] == "learns; no other suite"


def test_every_start_has_a_section_with_its_own_baseline(make_study):
    study = make_study(methods=("sft",), domains=("math",), starts=("base", "safe")).everything(BEFORE, BETTER, WORSE)
    sections = study.found()["sections"]
    assert [section["start"] for section in sections] == ["base", "safe"]
    assert [section["cells"][0]["results"]["qa"]["before_job"] for section in sections] == [
        "evaluate/base_micro.qa",
        "evaluate/safe_micro.qa",
    ]


def test_a_suite_that_a_cell_does_not_plan_is_neither_missing_nor_counted(one_method):
    one_method.everything(BEFORE, BETTER, WORSE)
    cells = one_method.cells()
    del cells[0]["evaluations"]["qa"]
    one_method.changed["cells"] = cells
    found = one_method.found()
    assert (found["planned"], found["found"], found["complete"]) == (3, 3, True)
