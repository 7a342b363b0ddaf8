"""What lies before the end of a cell: intermediate checkpoints, and the earlier domains of a sequence."""

from __future__ import annotations

import pytest

from tests.report.test_report_html import Page
from tests.report.test_report_schema import problems

BEFORE = [1] * 40 + [0] * 60
BETTER = [1] * 70 + [0] * 30
BEST = [1] * 90 + [0] * 10
WORSE = [0] * 30 + [1] * 10 + [0] * 60
CELL = "sft_math_then_qa_base_micro"


def point(label, domain=None, step=None, suites=("math", "qa"), cell=CELL):
    return {
        "label": label,
        "domain": domain,
        "step": step,
        "evaluations": {suite: f"evaluate/{cell}.{label}.{suite}" for suite in suites},
    }


@pytest.fixture
def sequence(study):
    """One cell, trained on math and then on qa: math rises to 70 % and falls to 10 %, qa waits and rises to 70 %."""
    study.methods, study.domains = ("sft",), ("math_then_qa",)
    (cell,) = study.cells()
    points = [point("math-step5", "math", 5, suites=["math"]), point("after-math", "math", 10), point("qa-step5", "qa", 5)]
    study.changed["cells"] = [cell | {"trained": ["math", "qa"], "points": points}]
    for suite, task, rows in (
        ("math", "gsm", [BEFORE, BETTER, BEST, BETTER, WORSE]),
        ("qa", "trivia", [BEFORE, None, BEFORE, BETTER, BETTER]),
    ):
        models = ["base_micro", f"{CELL}.math-step5", f"{CELL}.after-math", f"{CELL}.qa-step5", CELL]
        for model, outcomes in zip(models, rows, strict=True):
            if outcomes is not None:
                study.scores(model, suite, {task: outcomes})
    return study


def cell_of(study):
    (section,) = study.found()["sections"]
    return section["cells"][0]


def written(study, name):
    study.report()
    return next(study.store.glob(f"report/*/{name}")).read_text()


def test_the_points_of_a_cell_pass_the_schema(sequence):
    assert problems(sequence.config()) == []


def test_every_point_is_compared_with_the_start_on_the_suites_measured_there(sequence):
    points = cell_of(sequence)["points"]
    assert [(p["label"], p["domain"], p["step"], sorted(p["results"])) for p in points] == [
        ("math-step5", "math", 5, ["math"]),
        ("after-math", "math", 10, ["math", "qa"]),
        ("qa-step5", "qa", 5, ["math", "qa"]),
    ]
    assert [p["results"]["math"]["delta"] for p in points] == pytest.approx([0.3, 0.5, 0.3])
    assert points[1]["results"]["math"]["before_job"] == "evaluate/base_micro.math"


def test_a_domain_that_is_still_to_come_is_not_yet_a_trained_one(sequence):
    points = cell_of(sequence)["points"]
    assert [p["results"]["qa"]["trained"] for p in points[1:]] == [False, True]
    assert all(p["results"]["math"]["trained"] for p in points)


def test_the_backward_change_runs_from_the_end_of_the_earlier_domain_to_the_end_of_all(sequence):
    (change,) = cell_of(sequence)["backward_changes"]
    assert (change["domain"], change["since"], change["suite"]) == ("math", "after-math", "math")
    assert (change["before"], change["after"], change["delta"]) == pytest.approx((0.9, 0.1, -0.8))
    assert (change["before_job"], change["after_job"]) == (f"evaluate/{CELL}.after-math.math", f"evaluate/{CELL}.math")


def test_every_domain_of_a_sequence_counts_as_trained_at_its_end(sequence):
    cell = cell_of(sequence)
    assert all(result["trained"] for result in cell["results"].values())
    assert cell["trained_domain"]["delta"] == pytest.approx((-0.3 + 0.3) / 2)
    assert cell["other_suites"] is None


def test_the_text_shows_the_way_and_what_became_of_the_first_domain(sequence):
    text = written(sequence, "report.txt")
    way, became = (text[text.index(title) :].split("\n\n")[0].splitlines() for title in ("along the way", "what became"))
    assert [" ".join(line.split()) for line in way[6:]] == [
        "sft math_then_qa",
        "math-step5 ◆ 70.0 ▲+30.0 ±9.3 not planned",
        "after-math ◆ 90.0 ▲+50.0 ±10.1 40.0 · 0.0 ±2.7",
        "qa-step5 ◆ 70.0 ▲+30.0 ±9.3 ◆ 70.0 ▲+30.0 ±9.3",
        "end ◆ 10.0 ▼−30.0 ±9.3 ◆ 70.0 ▲+30.0 ±9.3",  # noqa: RUF001
    ]
    assert " ".join(became[2].split()[:7]) == "sft math_then_qa math after-math 90.0 10.0 ▼−80.0"  # noqa: RUF001
    assert max(map(len, text.splitlines())) <= 100


def test_the_page_shows_both_tables(sequence):
    page = Page(written(sequence, "report.html"))
    assert {"Along the way", "What became of earlier domains"} <= set(page.texts["caption"])
    assert {"math-step5", "after-math", "qa-step5", "end"} <= set(page.texts["th"])
    assert "▼ −80.0" in page.texts["td"]  # noqa: RUF001


def test_a_point_that_is_missing_keeps_the_report_incomplete_and_is_named(sequence, capsys):
    (sequence.folder(f"evaluate/{CELL}.qa-step5.qa") / "DONE.json").unlink()
    assert sequence.report() == 3
    shown = " ".join(capsys.readouterr().out.split())
    assert f"MISSING {CELL} at qa-step5 (qa): waits for train/{CELL}.qa-step5" in shown
    (problem,) = sequence.found()["problems"]
    assert (problem["cell"], problem["point"], problem["suite"]) == (CELL, "qa-step5", "qa")
    page = Page(written(sequence, "report.html"))
    assert f"{CELL} at qa-step5" in page.texts["th"]


def test_a_backward_change_without_one_of_its_sides_has_no_number(sequence):
    (sequence.folder(f"evaluate/{CELL}.after-math.math") / "DONE.json").unlink()
    (change,) = cell_of(sequence)["backward_changes"]
    assert change["status"] == "missing" and "delta" not in change
    assert "after-math  MISSING" in written(sequence, "report.txt")
    assert "missing" in written(sequence, "report.html")


def test_a_study_without_points_has_no_such_sections(study):
    study.everything(BEFORE, BETTER, WORSE)
    for name in ("report.txt", "report.html"):
        text = written(study, name).lower()
        assert "along the way" not in text and "what became" not in text
    assert [(cell["points"], cell["backward_changes"]) for cell in study.found()["sections"][0]["cells"]] == [([], [])] * 4


def test_domains_trained_together_have_no_backward_change(sequence):
    (cell,) = sequence.changed["cells"]
    cell["points"] = [point("after-math", None, 10), point("qa-step5", "math_then_qa", 5)]
    found = cell_of(sequence)
    assert found["backward_changes"] == []
    assert all(result["trained"] for p in found["points"] for result in p["results"].values())


def test_a_sequence_may_come_back_to_a_domain(sequence):
    """math, qa, math, qa: what was trained once stays trained, and the backward change starts at the last time."""
    (cell,) = sequence.changed["cells"]
    again = point("after-math", "math", 20) | {"evaluations": {"qa": f"evaluate/{CELL}.qa-step5.qa"}}
    cell["points"] = [*cell["points"][1:], again]
    found = cell_of(sequence)
    assert [p["label"] for p in found["points"]] == ["after-math", "qa-step5", "after-math"]
    assert [p["results"]["qa"]["trained"] for p in found["points"]] == [False, True, True]
    assert [p["results"]["qa"]["delta"] for p in found["points"]] == pytest.approx([0, 0.3, 0.3])
    assert found["backward_changes"] == []


@pytest.mark.parametrize("wrong", [{"step": 0}, {"label": ""}, {"evaluations": {"math": "train/x"}}, {"loss": 1.0}])
def test_a_point_that_the_report_could_not_read_does_not_pass_the_schema(sequence, wrong):
    (cell,) = sequence.changed["cells"]
    cell["points"][0] = cell["points"][0] | wrong
    assert problems(sequence.config())
