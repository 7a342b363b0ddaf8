"""How far checkpoints have moved from their start: a measurement of its own, where a study asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compiler.project import Project
from tests.compiler.small import AXES, COMBINED, SEVERAL, inputs, jobs, plan, validate

KL: dict[str, Any] = {
    "about": "How far a model moved", "backend": "native", "domains": "cell", "resources": "eval",
    "settings": {
        "version": 1, "divergence": "kl", "prompts": 20, "samples": 1, "max_new_tokens": 12, "seed": 1, "batch": 20,
    },
}  # fmt: skip
ASKED = {"suites": ["harm"], "divergence": "kl"}


def defined(**sections: Any) -> dict[str, Any]:
    return {"suites": {"kl": KL}, **sections}


def test_every_cell_is_measured_against_the_start_it_began_from_on_what_it_trained(project: Project) -> None:
    found = plan(project, axes=SEVERAL, evaluate=ASKED, define=defined())
    for cell in found["cells"]:
        assert cell["divergence"] == {"kl": f"evaluate/{cell['id']}.kl"}
        job = jobs(found, "evaluate")[f"{cell['id']}.kl"]
        domain = cell["axes"]["domain"]
        assert inputs(job) == {"model": cell["train"], "start": "pretrain/base_nano", domain: f"prepare/{domain}"}
        assert (job["what"], job["settings"]["domains"], job["output"]) == ("evaluate_divergence", [domain], "scores")
    assert not [name for name in jobs(found, "evaluate") if name.startswith("base_nano.kl")], (
        "a start has not moved from itself"
    )


def test_the_report_reads_it_and_a_study_that_does_not_ask_has_none(project: Project) -> None:
    found = plan(project, evaluate=ASKED, define=defined())
    [report] = jobs(found, "report").values()
    assert report["settings"]["cells"][0]["divergence"] == {"kl": "evaluate/gt_sft_sums_base_nano.kl"}
    assert "evaluate/gt_sft_sums_base_nano.kl" in inputs(report).values()
    assert [suite["name"] for suite in report["settings"]["suites"]] == ["harm"]
    without = plan(project, define=defined())
    assert without["cells"][0]["divergence"] == {}
    assert "divergence" not in next(iter(jobs(without, "report").values()))["settings"]["cells"][0]


def test_a_sequence_is_measured_on_what_was_trained_by_then(project: Project) -> None:
    axes = {**AXES, "domain": ["first_sums"]}
    found = plan(project, axes=axes, define={**COMBINED, **defined()}, evaluate={**ASKED, "after": "each"})
    [cell] = found["cells"]
    [point] = cell["points"]
    measured = {name: job["settings"]["domains"] for name, job in jobs(found, "evaluate").items() if name.endswith(".kl")}
    assert measured == {
        point["divergence"]["kl"].removeprefix("evaluate/"): ["sums"],
        cell["divergence"]["kl"].removeprefix("evaluate/"): ["sums", "facts"],
    }


def test_a_checkpoint_along_the_way_is_measured_where_suites_measure_it(project: Project) -> None:
    found = plan(project, evaluate={**ASKED, "checkpoints": {"steps": [5]}}, define=defined())
    [point] = found["cells"][0]["points"]
    job = jobs(found, "evaluate")[point["divergence"]["kl"].removeprefix("evaluate/")]
    assert inputs(job)["model"] == "pick/gt_sft_sums_base_nano.step5"


def test_a_suite_may_name_other_prompts(project: Project) -> None:
    found = plan(project, evaluate=ASKED, define={"suites": {"kl": {**KL, "domains": ["facts"]}}})
    assert jobs(found, "evaluate")["gt_sft_sums_base_nano.kl"]["settings"]["domains"] == ["facts"]


@pytest.mark.parametrize(
    ("evaluate", "said", "hint"),
    [
        (
            {"suites": ["harm", "kl"]},
            "suite 'kl' measures a divergence, which is no score",
            "`divergence: kl` under `evaluate`",
        ),
        ({"suites": ["skills"], "divergence": "harm"}, "suite 'harm' measures no divergence", "has the setting 'divergence'"),
        ({"suites": ["harm"], "divergence": "kll"}, "there is no suite 'kll'", "'kl'"),
    ],
)
def test_what_is_no_divergence_and_what_is_no_score_is_told(
    project: Project, evaluate: dict[str, Any], said: str, hint: str
) -> None:
    result = validate(project, evaluate=evaluate, define=defined())
    assert result.code == 1 and len(result.errors) == 1
    assert said in result.err and hint in result.err


def test_its_settings_are_checked_like_any_others(project: Project) -> None:
    wrong = {**KL, "settings": {**KL["settings"], "divergence": "tv", "prompts": 0}}
    result = validate(project, evaluate=ASKED, define={"suites": {"kl": wrong}})
    assert result.code == 1
    assert "'tv'" in result.err and "prompts" in result.err


def test_more_prompts_than_a_domain_has_evaluation_rows_are_told_where_they_stand(project: Project) -> None:
    rows = jobs(plan(project), "prepare")["sums"]["settings"]["eval"]
    assert validate(project, evaluate=ASKED, define=defined(suites={"kl": asking(rows)})).code == 0
    result = validate(project, evaluate=ASKED, define=defined(suites={"kl": asking(rows + 1)}))
    assert result.code == 1
    assert f"suite 'kl' asks {rows + 1} prompts of domain 'sums', whose evaluation rows are {rows}" in result.err
    assert f"ask for {rows} at most" in result.err


def asking(prompts: int) -> dict[str, Any]:
    return {**KL, "settings": {**KL["settings"], "prompts": prompts}}
