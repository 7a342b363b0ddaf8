"""Learning against forgetting over a sweep, and forgetting against how far the models have moved."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.report.fit import quadratic
from runtime.report.seeds import mean, t_quantile
from tests.report.conftest import Study

ITEMS = 100
LOSSES = {("sft", "low"): 6, ("sft", "high"): 24, ("rl", "low"): 2, ("rl", "high"): 4}  # of 100 items elsewhere, without a seed
GAINS = {("sft", "low"): 10, ("sft", "high"): 30, ("rl", "low"): 12, ("rl", "high"): 22}


def outcomes(right: int) -> list[int]:
    return [1] * right + [0] * (ITEMS - right)


def cells(
    methods: Sequence[str] = ("sft", "rl"), rates: Sequence[str] = ("low", "high"), seeds: int = 3
) -> list[dict[str, Any]]:
    """Two methods at two learning rates with three seeds, all trained on math and measured on math and qa."""
    return [
        {
            "id": f"{method}_{rate}_{seed}", "method": method, "domain": "math", "start": "base", "scale": "micro",
            "rate": rate, "seed": str(seed), "trained": ["math"],
            "evaluations": {suite: f"evaluate/{method}_{rate}_{seed}.{suite}" for suite in ("math", "qa")},
            "baseline": {suite: f"evaluate/base_micro.{suite}" for suite in ("math", "qa")},
            "divergence": {"kl": f"evaluate/{method}_{rate}_{seed}.kl"},
        }
        for method in methods for rate in rates for seed in range(1, seeds + 1)
    ]  # fmt: skip


def lost(cell: dict[str, Any]) -> int:
    return LOSSES[cell["method"], cell["rate"]] + int(cell["seed"])


def measured(study: Study, planned: list[dict[str, Any]], kl: Any = lambda cell: lost(cell) / 10) -> Study:
    """Everything but the divergences of cells for which `kl` is None; it tells the forward one, the reverse is its root."""
    study.changed = {"cells": planned, "axes": ["method", "domain", "start", "scale", "rate", "seed"]}
    study.scores("base_micro", "math", {"gsm": outcomes(50)})
    study.scores("base_micro", "qa", {"trivia": outcomes(60)})
    for cell in planned:
        study.scores(cell["id"], "math", {"gsm": outcomes(50 + GAINS[cell["method"], cell["rate"]] + int(cell["seed"]))})
        study.scores(cell["id"], "qa", {"trivia": outcomes(60 - lost(cell))})
        if kl(cell) is not None:
            study.moved(cell["id"], [kl(cell) / 2, kl(cell) * 1.5], [math.sqrt(kl(cell))] * 2)
    return study


def sweep(study: Study) -> dict[str, Any]:
    [found] = study.found()["sweeps"]
    return dict(found)


def setting(found: dict[str, Any], method: str, name: str) -> dict[str, Any]:
    return next(one for one in found["settings"] if (one["method"], one["name"]) == (method, name))


def test_runs_that_differ_in_their_seed_alone_are_one_setting_with_an_interval_over_them(study: Study) -> None:
    found = sweep(measured(study, cells()))
    assert (found["domain"], found["start"], found["scale"]) == ("math", "base", "micro")
    assert [(one["method"], one["name"]) for one in found["settings"]] == [
        ("sft", "low"), ("sft", "high"), ("rl", "low"), ("rl", "high"),
    ]  # fmt: skip
    high = setting(found, "sft", "high")
    assert [run["seed"] for run in high["runs"]] == ["1", "2", "3"]
    assert high["change_elsewhere"]["mean"] == pytest.approx(-0.26)
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert high["change_elsewhere"]["low"] == pytest.approx(-0.26 - half)
    assert high["change_elsewhere"]["high"] == pytest.approx(-0.26 + half)
    assert high["score"]["mean"] == pytest.approx(0.82)
    assert high["kl_forward"]["mean"] == pytest.approx(2.6)


def test_on_a_front_stands_what_no_other_setting_of_the_method_beats(study: Study) -> None:
    found = sweep(measured(study, cells()))
    assert found["fronts"] == {"sft": ["low", "high"], "rl": ["low", "high"]}


def test_a_setting_that_learns_less_and_forgets_more_is_on_no_front(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GAINS, ("sft", "high"), 5)
    found = sweep(measured(study, cells()))
    assert found["fronts"] == {"sft": ["low"], "rl": ["low", "high"]}
    assert not setting(found, "sft", "high")["on_front"]


def test_forgetting_that_is_a_polynomial_of_the_divergence_is_found_to_be_one(study: Study) -> None:
    def kl(cell: dict[str, Any]) -> float:  # forgetting = 0.05 kl + 0.03 kl^2
        return (-0.05 + math.sqrt(0.0025 + 0.12 * lost(cell) / ITEMS)) / 0.06

    law = sweep(measured(study, cells(), kl))["laws"]["forward"]
    assert law["r2"] == pytest.approx(1.0)
    assert law["coefficients"] == pytest.approx([0.0, 0.05, 0.03], abs=1e-9)
    assert law["r2_by_seed"] == pytest.approx({"1": 1.0, "2": 1.0, "3": 1.0})
    assert (law["runs"], law["degree"], law["rank_correlation"]) == (12, 2, pytest.approx(1.0))


def test_forgetting_that_has_nothing_to_do_with_it_is_reported_as_it_is(study: Study) -> None:
    law = sweep(measured(study, cells(), lambda cell: 1.0 + hash_of(cell["id"])))["laws"]["forward"]
    assert law["r2"] < 0.5
    assert law["r2_over_seeds"]["seeds"] == 3
    assert law["published"] == {
        "r2": ["ParityMNIST 0.96 ± 0.01", "language models 0.71"], "source": "arXiv 2509.04259",
    }  # fmt: skip


def hash_of(name: str) -> float:
    return sum(7**place * ord(letter) for place, letter in enumerate(name)) % 101 / 101


def test_four_runs_are_the_fewest_for_a_law(study: Study) -> None:
    assert sweep(measured(study, cells(rates=["low"], seeds=1)))["laws"] == {}


def test_a_divergence_that_is_not_there_is_missing_and_the_report_incomplete(study: Study) -> None:
    measured(study, cells(), lambda cell: None if cell["id"] == "rl_low_2" else lost(cell) / 10)
    assert study.report() == 3
    found = study.found()
    assert (found["planned"], found["found"]) == (36, 35)
    assert found["problems"] == [{"cell": "rl_low_2", "suite": "kl", "status": "missing", "why": "waits for train/rl_low_2"}]
    assert len(setting(found["sweeps"][0], "rl", "low")["runs"]) == 2


def test_sums_that_their_items_do_not_bear_out_are_an_error(study: Study) -> None:
    measured(study, cells())
    path = study.folder("evaluate/sft_low_1.kl") / "scores.json"
    scores = json.loads(path.read_text())
    scores["tasks"]["math"]["forward"]["per_answer"] = 9.0
    path.write_text(json.dumps(scores))
    [problem] = study.found()["problems"]
    assert (problem["cell"], problem["suite"], problem["status"]) == ("sft_low_1", "kl", "error")
    assert "tells of 2 answers and 18 nats, its items 2 and 1.4" in problem["why"]


def test_every_cell_and_point_tells_how_far_it_has_moved(study: Study) -> None:
    planned = cells()
    planned[0]["points"] = [
        {"label": "half way", "domain": "math", "step": 5, "evaluations": {}, "divergence": {"kl": "evaluate/half.kl"}}
    ]
    study.moved("half", [0.25, 0.75], [0.1, 0.1])
    measured(study, planned)
    cell = study.found()["sections"][0]["cells"][0]
    assert cell["divergence"]["forward"] == pytest.approx({"per_answer": 0.7, "per_token": 0.35, "unfinished": 0.0})
    assert cell["points"][0]["divergence"]["reverse"]["per_answer"] == pytest.approx(0.1)


def test_a_study_that_asks_for_no_divergence_has_none_of_it(study: Study) -> None:
    study.everything([1, 0, 1], [1, 1, 1], [1, 0, 0])
    found = study.found()
    assert found["sweeps"] == [] and "divergence" not in found["sections"][0]["cells"][0]
    html = next(study.store.glob("report/*/report.html")).read_text()
    assert "Learning against forgetting" not in html


def test_text_and_page_show_the_sweep_and_the_published_numbers(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = cells(rates=["<low>", "high"])
    for numbers in (LOSSES, GAINS):
        for method in ("sft", "rl"):
            monkeypatch.setitem(numbers, (method, "<low>"), numbers[method, "low"])
    measured(study, planned)
    assert study.report() == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "learning and forgetting on math, start base, scale micro" in text
    assert "sft high 3 82.0 ±2.5 −26.0 ±2.5 2.600 ±0.248" in text  # noqa: RUF001
    assert "(published: R² ParityMNIST 0.96 ± 0.01, language models 0.71; arXiv 2509.04259)" in text
    html = next(study.store.glob("report/*/report.html")).read_text()
    assert "Learning against forgetting on math; start base, scale micro" in html
    assert "Forgetting against KL(model || start) on math" in html
    assert "&lt;low&gt;" in html and "<low>" not in html


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=4, max_size=12))
def test_what_the_fit_leaves_is_orthogonal_to_what_it_is_made_of(points: list[tuple[float, float]]) -> None:
    points = [(round(x, 1), round(y, 1)) for x, y in points]
    fit = quadratic(points)
    if len({x for x, _ in points}) < 3 or len({y for _, y in points}) == 1:
        assert fit is None
        return
    assert fit is not None
    rest = [y - fit(x) for x, y in points]
    for power in range(3):
        assert sum(r * x**power for r, (x, _) in zip(rest, points, strict=True)) == pytest.approx(0.0, abs=1e-5)
    assert -1e-9 <= fit.r2 <= 1 + 1e-9


@pytest.mark.parametrize(
    ("confidence", "freedom", "t"), [(0.95, 1, 12.706), (0.95, 2, 4.303), (0.99, 4, 4.604), (0.9, 9, 1.833), (0.95, 30, 2.042)]
)
def test_quantiles_of_t_are_those_of_the_tables(confidence: float, freedom: int, t: float) -> None:
    assert t_quantile(confidence, freedom) == pytest.approx(t, abs=5e-4)


def test_one_seed_has_a_mean_and_no_interval() -> None:
    one, three = mean([0.5], 0.95), mean([0.4, 0.5, 0.6], 0.95)
    assert (one.value, one.low, one.half) == (0.5, None, None)
    assert three.half == pytest.approx(4.302653 * 0.1 / math.sqrt(3))
