"""Unlearning in the report: every metric of every method beside the start's and the reference's, and what relearning shows."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from scipy import stats

from tests.report.test_report_html import HOSTILE, Page
from tests.report.unlearned import GONE, METRICS, SUITE, THERE, Unlearned

SCHEMA = Path(__file__).parents[2] / "templates/backends/native/report.schema.json"


@pytest.fixture
def unlearned(tmp_path: Path) -> Unlearned:
    return Unlearned(tmp_path)


def page(study: Unlearned) -> str:
    study.report()
    return next(study.store.glob("report/*/report.html")).read_text()


def told(study: Unlearned) -> str:
    study.report()
    return next(study.store.glob("report/*/report.txt")).read_text()


def rows(study: Unlearned) -> dict[str, dict[str, Any]]:
    (panel,) = study.found()["unlearning"]
    return {row["name"]: row for row in panel["rows"]}


def line(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(name))


# --- the panel -------------------------------------------------------------------------------------------------------


def test_every_metric_of_every_method_stands_beside_the_reference_and_the_start(unlearned: Unlearned) -> None:
    found = rows(unlearned.all_measured())
    assert [(name, row["role"]) for name, row in found.items()] == [
        ("reference", "reference"), ("full", "start"), ("npo", "method"), ("rmu", "method"),
    ]  # fmt: skip
    assert {name: mean["mean"] for name, mean in found["full"]["metrics"].items()} == THERE
    assert found["npo"]["metrics"]["privleak"] == {"mean": -4.0, "low": None, "high": None, "n": 1}
    assert unlearned.report() == 0


def test_the_text_has_a_table_for_what_is_kept_what_shows_and_what_is_memorized(unlearned: Unlearned) -> None:
    text = told(unlearned.all_measured())
    titles = [line.rpartition(": ")[2] for line in text.splitlines() if line.startswith("unlearning, authors.few")]
    assert titles == ["forgotten and kept", "whether it shows", "memorized"]
    assert line(text, "rmu").split() == ["rmu", "1e-09", "0.610", "0.900"]
    assert line(text, "reference (target)").split()[2:] == ["-", "0.500", "0.200"]


def test_a_study_of_unlearning_alone_tells_of_no_gains_and_losses(unlearned: Unlearned) -> None:
    unlearned.all_measured()
    assert unlearned.found()["sections"] == []
    assert "verdicts" not in told(unlearned)
    assert "before and after" not in page(unlearned).lower() and "Bonett" not in page(unlearned)


def test_the_comparison_of_tasks_ignores_suites_with_metrics(tmp_path: Path) -> None:
    suites = (*Unlearned(tmp_path).suites, {"name": "qa", "tasks": ["trivia"], "domain": None})
    study = Unlearned(tmp_path, suites=suites).all_measured()
    for model, right in (("full_micro", [1, 1, 0]), ("npo_few_full_micro", [1, 0, 0]), ("rmu_few_full_micro", [1, 1, 1])):
        study.scores(model, "qa", {"trivia": right})
    found = study.found()
    (section,) = found["sections"]
    assert [list(cell["results"]) for cell in section["cells"]] == [["qa"], ["qa"]]
    assert section["cells"][0]["results"]["qa"]["delta"] == pytest.approx(-1 / 3)
    assert (found["planned"], found["found"], found["complete"]) == (2 + 4, 6, True)


# --- several seeds -----------------------------------------------------------------------------------------------------


def test_cells_that_differ_in_a_seed_are_one_row_with_a_t_interval(tmp_path: Path) -> None:
    study = Unlearned(tmp_path, seeds=(1, 2, 3), methods=("npo",))
    values = [0.31, 0.35, 0.45]
    qualities = [1e-3, 1e-5, 1e-1]
    for seed, value, quality in zip((1, 2, 3), values, qualities, strict=True):
        study.measured(f"npo_few_full_micro_seed{seed}", {**GONE, "model_utility": value, "forget_quality": quality})
    found = rows(study)["npo"]["metrics"]
    low, high = stats.t.interval(0.95, 2, loc=sum(values) / 3, scale=stats.sem(values))
    assert found["model_utility"] == {
        "mean": pytest.approx(0.37),
        "low": pytest.approx(low),
        "high": pytest.approx(high),
        "n": 3,
    }
    logs = [math.log(quality) for quality in qualities]
    ends = [math.exp(end) for end in stats.t.interval(0.95, 2, loc=sum(logs) / 3, scale=stats.sem(logs))]
    assert found["forget_quality"]["mean"] == pytest.approx(1e-3), "p-values are averaged as logarithms"
    assert [found["forget_quality"][end] for end in ("low", "high")] == pytest.approx(ends)
    assert "mean of 3 seeds with its t interval, 95 %" in told(study)


def test_a_seed_that_is_missing_is_counted_where_the_mean_stands(tmp_path: Path) -> None:
    study = Unlearned(tmp_path, seeds=(1, 2, 3), methods=("npo",))
    for seed in (1, 3):
        study.measured(f"npo_few_full_micro_seed{seed}", GONE)
    assert rows(study)["npo"]["metrics"]["mia_loss"]["n"] == 2
    assert "(2 of 3)" in told(study) and '<td class="n">2 of 3</td>' in page(study)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
@pytest.mark.parametrize("many", [2, 3, 4, 7, 30])
def test_the_t_interval_is_students(many: int, confidence: float, tmp_path: Path) -> None:
    study = Unlearned(tmp_path, seeds=range(many), methods=("npo",), changed={"confidence": confidence})
    for seed in range(many):
        study.measured(f"npo_few_full_micro_seed{seed}", {**GONE, "model_utility": (seed * 7 % 5) / 10})
    found = rows(study)["npo"]["metrics"]["model_utility"]
    values = [(seed * 7 % 5) / 10 for seed in range(many)]
    ends = stats.t.interval(confidence, many - 1, loc=sum(values) / many, scale=stats.sem(values))
    assert (found["low"], found["high"]) == pytest.approx(ends, rel=1e-9)


# --- what is not there -------------------------------------------------------------------------------------------------


def test_what_is_missing_is_named_and_makes_no_number(unlearned: Unlearned) -> None:
    unlearned.all_measured()
    (unlearned.folder(f"evaluate/rmu_few_full_micro.{SUITE}") / "DONE.json").unlink()
    assert unlearned.report() == 3
    assert rows(unlearned)["rmu"]["metrics"] == {}
    text = told(unlearned)
    assert line(text, "rmu").split() == ["rmu", *["MISSING"] * 3]
    assert f"MISSING rmu_few_full_micro ({SUITE}): waits for train/rmu_few_full_micro" in " ".join(text.split())
    assert line(text, "npo").split()[1:] == ["0.400", "0.500", "0.200"]
    assert page(unlearned).count(">MISSING</td>") == len(METRICS)


def test_a_metric_that_cannot_be_told_says_why(unlearned: Unlearned) -> None:
    unlearned.measured("npo_few_full_micro", {**GONE, "privleak": None})
    found = unlearned.found()
    assert f"{SUITE}: privleak cannot be told: nothing to compare with (1 results, first npo_few_full_micro)" in found["notes"]
    assert "privleak" not in rows(unlearned)["npo"]["metrics"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"metrics": {}}, "lacks the metric 'forget_quality'"),
        ({"metrics": {name: {"value": "high", "n": 1} for name in METRICS}}, "metric 'forget_quality' lacks a usable 'value'"),
        ({"metrics": {name: {"value": True, "n": 1} for name in METRICS}}, "True is no value"),
        ({"metrics": {name: {"value": 1.0} for name in METRICS}}, "lacks a usable 'n'"),
        ({"metrics": [1]}, "lacks a usable 'metrics'"),
    ],
)
def test_scores_that_contradict_the_suite_are_an_error(unlearned: Unlearned, facts: dict[str, Any], said: str) -> None:
    unlearned.all_measured()
    path = unlearned.folder(f"evaluate/npo_few_full_micro.{SUITE}") / "scores.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))
    (problem,) = unlearned.found()["problems"]
    assert (problem["status"], problem["cell"]) == ("error", "npo_few_full_micro") and said in problem["why"]


def test_suites_measured_in_two_versions_are_a_note(unlearned: Unlearned) -> None:
    unlearned.measured("npo_few_full_micro", GONE)
    unlearned.measured("rmu_few_full_micro", GONE, version=2)
    assert f"{SUITE}: measured in versions 1, 2; cells of different versions do not compare" in unlearned.found()["notes"]


# --- relearning --------------------------------------------------------------------------------------------------------


@pytest.fixture
def relearned(tmp_path: Path) -> Unlearned:
    """The start has 0.9 of it: npo is at 0.81 after 4 steps, rmu never, the reference still learns."""
    study = Unlearned(tmp_path, steps=(1, 4)).all_measured()
    values = {"npo_few_full_micro": (0.5, 0.81), "rmu_few_full_micro": (0.1, 0.2), "retain": (0.25, 0.4)}
    for model, found in values.items():
        for step, value in zip((1, 4), found, strict=True):
            study.measured(f"{model}.step{step}", {**GONE, "forget_prob": value})
    return study


def curves(study: Unlearned) -> dict[str, dict[str, Any]]:
    (relearning,) = study.found()["relearning"]
    assert (relearning["metric"], relearning["goal"]["mean"]) == ("forget_prob", 0.9)
    return {curve["name"]: curve for curve in relearning["curves"]}


def test_a_curve_begins_before_the_training_and_ends_after_its_last_step(relearned: Unlearned) -> None:
    found = curves(relearned)
    assert list(found) == ["reference", "npo", "rmu"]
    steps = [(stop["step"], stop["metrics"]["forget_prob"]["mean"]) for stop in found["npo"]["stops"]]
    assert steps == [(0, 0.2), (1, 0.5), (4, 0.81)]


def test_what_is_at_nine_tenths_of_the_start_is_back(relearned: Unlearned) -> None:
    assert {name: curve["back_after"] for name, curve in curves(relearned).items()} == {
        "reference": "over 4", "npo": "4", "rmu": "0",
    }  # fmt: skip
    text = told(relearned)
    table = text[text.index("relearning, authors.few") :]
    assert "back: at 90.0 % of the start's 0.900" in table
    assert line(table, "npo").split() == ["npo", "0.200", "0.500", "0.810", "4"]


def test_a_step_that_is_missing_is_a_gap_and_a_problem(relearned: Unlearned) -> None:
    (relearned.folder(f"evaluate/npo_few_full_micro.step4.{SUITE}") / "DONE.json").unlink()
    assert relearned.report() == 3
    assert curves(relearned)["npo"]["back_after"] == "over 1"
    (problem,) = relearned.found()["problems"]
    assert problem["cell"] == "npo_few_full_micro relearned, step 4"
    text = told(relearned)
    assert line(text[text.index("relearning,") :], "npo").split() == ["npo", "0.200", "0.500", "MISSING", "over", "1"]


def test_without_the_start_nothing_is_called_back(relearned: Unlearned) -> None:
    cells = [{**cell, "baseline": {}} for cell in relearned.cells()]
    relearned.changed = {"cells": cells}
    (relearning,) = relearned.found()["relearning"]
    assert {curve["back_after"] for curve in relearning["curves"]} == {"no value of the start"}


# --- the page ----------------------------------------------------------------------------------------------------------


def test_the_page_is_well_formed_and_draws_where_each_method_lands(relearned: Unlearned) -> None:
    source = page(relearned)
    found = Page(source)
    assert len(found.all("svg")) == 2 and all(drawing["aria-labelledby"] for drawing in found.all("svg"))
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) and {a["href"][1:] for a in found.all("a")} <= set(ids)
    assert len(found.all("caption")) == len(found.all("table")) and all(header.get("scope") for header in found.all("th"))
    for name in ("npo", "rmu", "full", "reference"):
        assert any(words.startswith(f"{name}: ") for words in found.texts["title"])


def test_the_target_is_at_the_top_and_what_is_told_from_it_at_the_bottom(unlearned: Unlearned) -> None:
    figure = page(unlearned.all_measured()).partition('id="u0-scatter"')[2].partition("</svg>")[0]
    ring = re.search(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="9" class="ring"', figure)
    cross = re.search(r'<path d="M([\d.]+) ([\d.]+)l12 12m0 -12l-12 12" class="cross"', figure)
    assert ring and cross
    assert float(ring[2]) < float(cross[2]) - 300, "p = 1 against p = 1e-9, upwards"
    assert float(ring[1]) < float(cross[1]), "utility 0.5 against 0.6, to the right"
    assert figure.count('class="mean m') == 2


def test_an_empty_store_gives_a_page_that_says_so(tmp_path: Path) -> None:
    found = Page(page(Unlearned(tmp_path, steps=(1,))))
    assert "No model has both yet." in found.texts["p"] and "0 of 7 results" in found.texts["li"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_is_taken_as_markup_or_breaks_a_line(relearned: Unlearned, name: str) -> None:
    relearned.changed = {"cells": [{**cell, "method": name, "start": name, "scale": name} for cell in relearned.cells()]}
    found = Page(page(relearned))
    assert not found.all("script")
    assert not [key for _, attributes in found.elements for key in attributes if key.startswith("on")]
    assert all(line.isprintable() for line in told(relearned).splitlines())


def test_the_config_that_a_plan_gives_is_within_the_schema(relearned: Unlearned) -> None:
    schema = json.loads(SCHEMA.read_text())
    config = relearned.config()
    jsonschema.validate({"settings": config, "execution": {}}, schema)
    config["suites"][0] = {**config["suites"][0], "tasks": ["trivia"]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"settings": config, "execution": {}}, schema)
    config["suites"][0] = {"name": SUITE, "tasks": [], "domain": "few"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"settings": config, "execution": {}}, schema)
