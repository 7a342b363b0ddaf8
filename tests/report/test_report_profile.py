"""What counts as the forgetting profile of a cell, and what is shown where nothing was measured before."""

from __future__ import annotations

import pytest

from runtime.errors import JobError
from runtime.jobs.report import run
from tests.report.test_report_html import Page
from tests.report.test_report_schema import problems

BEFORE = [1] * 40 + [0] * 60
BETTER = [1] * 70 + [0] * 30
WORSE = [0] * 30 + [1] * 10 + [0] * 60
PROFILE = {"name": "profile", "tasks": ["arc", "gsm", "mgsm"], "domain": None, "held_out": {"gsm": ["math"], "mgsm": ["math"]}}


@pytest.fixture
def profiled(make_study):
    """Two domains on one suite, whose two tasks of mathematics are held out for `math`. Cells gain on them and lose on arc."""
    study = make_study(methods=("sft",), suites=(PROFILE,))
    study.scores("base_micro", "profile", dict.fromkeys(PROFILE["tasks"], BEFORE))
    for cell in study.cells():
        study.scores(cell["id"], "profile", {"arc": WORSE, "gsm": BETTER, "mgsm": BETTER})
    return study


def cells_of(study):
    return {cell["id"]: cell for section in study.found()["sections"] for cell in section["cells"]}


def test_held_out_tasks_are_a_column_of_their_own(profiled):
    assert [(s["name"], s["domains"], s["tasks"]) for s in profiled.found()["suites"]] == [
        ("profile/math", ["math"], ["gsm", "mgsm"]),
        ("profile", [], ["arc"]),
    ]
    assert problems(profiled.config()) == []


def test_they_are_no_part_of_the_forgetting_of_cells_that_trained_that_domain(profiled):
    math = cells_of(profiled)["sft_math_base_micro"]
    assert (math["trained_domain"]["delta"], math["other_suites"]["delta"]) == pytest.approx((0.3, -0.3))
    assert math["other_suites"]["forgetting"] == pytest.approx(0.3)


def test_they_are_for_all_other_cells_weighing_as_tasks_of_their_suite(profiled):
    qa = cells_of(profiled)["sft_qa_base_micro"]
    assert qa["trained_domain"] is None
    assert qa["other_suites"]["delta"] == pytest.approx((-0.3 + 0.3 + 0.3) / 3)
    assert qa["other_suites"]["forgetting"] == pytest.approx(0.1)


def test_a_task_held_out_for_a_domain_that_nobody_trains_stays_in_its_suite(make_study):
    suite = PROFILE | {"held_out": {"arc": ["physics"]}}
    study = make_study(methods=("sft",), domains=("math",), suites=(suite,)).everything(BEFORE, BETTER, WORSE)
    assert [s["name"] for s in study.found()["suites"]] == ["profile"]


def test_a_cell_of_several_domains_has_what_any_of_them_trains_held_out(make_study):
    suite = PROFILE | {"held_out": {"gsm": ["math"], "arc": ["qa"], "mgsm": ["math", "qa"]}}
    study = make_study(methods=("sft",), domains=("math", "both"), suites=(suite,)).everything(BEFORE, BETTER, WORSE)
    cells = study.cells()
    cells[1]["trained"] = ["math", "qa"]
    study.changed["cells"] = cells
    assert {name: r["trained"] for name, r in cells_of(study)["sft_both_base_micro"]["results"].items()} == {
        "profile/qa": True,
        "profile/math": True,
        "profile/math+qa": True,
    }
    assert {name: r["trained"] for name, r in cells_of(study)["sft_math_base_micro"]["results"].items()} == {
        "profile/qa": False,
        "profile/math": True,
        "profile/math+qa": True,
    }


def test_holding_out_a_task_that_the_suite_lacks_is_named(make_study):
    study = make_study(suites=(PROFILE | {"held_out": {"gms": ["math"]}},))
    with pytest.raises(JobError, match=r"suites\[0\]: holds out the task 'gms', which it lacks; its tasks are arc, gsm, mgsm"):
        run(study.job())


def without_baselines(study):
    study.changed["cells"] = [cell | {"baseline": {}} for cell in study.cells()]
    return study


@pytest.fixture
def unmeasured(study):
    """Every cell measured, no start."""
    for cell in study.cells():
        for suite, outcomes in (("math", BETTER), ("qa", WORSE)):
            study.scores(cell["id"], suite, dict.fromkeys([{"math": "gsm", "qa": "trivia"}[suite]], outcomes))
    return without_baselines(study)


def test_without_baselines_a_report_is_complete_and_has_scores_alone(unmeasured):
    assert unmeasured.report() == 0
    cell = cells_of(unmeasured)["sft_math_base_micro"]
    assert cell["results"]["math"] == {
        "status": "done",
        "trained": True,
        "before_job": None,
        "after_job": "evaluate/sft_math_base_micro.math",
        "n": 100,
        "after": 0.7,
        "tasks": {"gsm": {"n": 100, "after": 0.7, "unfinished": [None, 0]}},
    }
    assert (cell["trained_domain"], cell["other_suites"]) == (None, None)
    assert cell["scores"] == {"trained_domain": 0.7, "other_suites": pytest.approx(0.1)}


def test_the_text_then_says_so_and_shows_scores(unmeasured):
    unmeasured.report()
    text = next(unmeasured.store.glob("report/*/report.txt")).read_text()
    assert "no start is measured, so no change can be told" in text.splitlines()[2]
    assert "sft  math ◆ 70.0   10.0\n" in text
    last = text.splitlines()[-1]
    assert last.split()[:3] == ["rl", "40.0", "40.0"] and last.endswith("no baseline, so no change can be told")


def test_the_page_then_has_scores_and_no_drawing_of_changes(unmeasured):
    unmeasured.report()
    source = next(unmeasured.store.glob("report/*/report.html")).read_text()
    page = Page(source)
    assert "Score on every suite" in page.texts["h3"] and "Every change with its interval" not in source
    assert len(page.all("svg")) == 1
    assert page.texts["td"].count("70.0") == 4


def test_scores_alone_of_another_suite_or_of_other_tasks_are_an_error(make_study):
    study = make_study(methods=("sft",), domains=("math",), suites=({"name": "math", "tasks": ["gsm"], "domain": "math"},))
    without_baselines(study).scores("sft_math_base_micro", "math", {"aime": [1, 0]})
    result = study.result("math")
    assert result["status"] == "error" and result["why"] == "the tasks after are aime; the suite's are gsm"


def test_many_answers_cut_short_are_noted_there_too(unmeasured):
    folder = unmeasured.folder("evaluate/sft_math_base_micro.math")
    items = (folder / "items.jsonl").read_text().replace('"finished": true', '"finished": false')
    (folder / "items.jsonl").write_text(items)
    (note,) = unmeasured.found()["notes"]
    assert note.startswith("math: more than 10 % of the answers were cut short, and count as they were graded (1 results")
