"""Which checkpoints are measured: along a training, after each domain, of the starts, and against a reference."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compiler.project import Project
from tests.compiler.small import AXES, COMBINED, SEVERAL, inputs, jobs, plan, validate

SAVING = {"algorithms": {"sft": {"extends": "sft", "execution": {"save_steps": 4}}}}  # 20 steps: 4, 8, 12, 16 and the end


def measured(found: dict[str, Any]) -> list[int | None]:
    (cell,) = found["cells"]
    return [point["step"] for point in cell["points"]]


@pytest.mark.parametrize(
    ("checkpoints", "steps"),
    [
        ("final", []),
        ("all", [4, 8, 12, 16]),
        ({"log": 2}, [4]),
        ({"log": 3}, [4, 8]),
        ({"steps": [5, 20]}, [5]),
        ({"fractions": [0.25, 0.5, 1.0]}, [5, 10]),
        ({"epochs": [0.5, 1]}, [6, 13]),
    ],
)
def test_a_study_says_which_checkpoints_are_measured(checkpoints: Any, steps: list[int], project: Project) -> None:
    found = plan(project, evaluate={"suites": ["harm"], "checkpoints": checkpoints}, define=SAVING)
    assert measured(found) == steps, "the last one is always measured, and is the cell's own result"
    (trained,) = jobs(found, "train").values()
    assert trained["execution"].get("keep", []) == steps
    for step in steps:
        name = f"gt_sft_sums_base_nano.1_sft.step{step}"
        assert inputs(jobs(found, "evaluate")[f"{name}.harm"])["model"] == f"pick/gt_sft_sums_base_nano.step{step}"


def test_a_suite_may_say_its_own(project: Project) -> None:
    suites = {"skills": {"extends": "skills", "checkpoints": {"steps": [10]}}}
    found = plan(project, evaluate={"suites": ["skills", "harm"]}, define={"suites": suites})
    (point,) = found["cells"][0]["points"]
    assert list(point["after"]) == ["skills"]


def test_a_step_beyond_the_training_is_one_message(project: Project) -> None:
    result = validate(project, evaluate={"suites": ["harm"], "checkpoints": {"steps": [21]}})
    assert (result.code, len(result.errors)) == (1, 1)
    assert "takes 20 steps" in result.err


def test_after_each_domain_of_a_sequence_every_suite_is_asked_again(project: Project) -> None:
    found = plan(
        project,
        axes={**AXES, "domain": ["first_sums"]},
        define=COMBINED,
        evaluate={"suites": ["skills", "harm"], "after": "each"},
    )
    (cell,) = found["cells"]
    (point,) = cell["points"]
    assert (point["label"], point["domain"], point["step"]) == ("sft on sums", "sums", None)
    assert set(point["after"]) == {"skills", "harm"}
    assert cell["trained"] == ["sums", "facts"]


def test_a_start_is_measured_once_for_all_cells_or_not_at_all(project: Project) -> None:
    found = plan(project, axes=SEVERAL)
    assert {job for cell in found["cells"] for job in cell["before"].values()} == {"evaluate/base_nano.harm"}
    without = plan(project, axes=SEVERAL, evaluate={"suites": ["harm"], "baselines": False})
    assert len(without["jobs"]) == len(found["jobs"]) - 1
    assert not without["cells"][0]["before"]


# --- suites of the cell's own domain ------------------------------------------------------------------------------------

OWN = {"about": "What it was trained on", "backend": "native", "domains": "cell", "resources": "eval",
       "settings": {"version": 1, "max_new_tokens": 12, "temperature": 0, "seed": 1, "batch": 20}}  # fmt: skip


def test_a_suite_may_measure_the_domain_that_a_cell_was_trained_on(project: Project) -> None:
    axes = {**AXES, "domain": ["sums", "facts", "first_sums"]}
    found = plan(project, axes=axes, evaluate={"suites": ["own"]}, define={**COMBINED, "suites": {"own": OWN}})
    assert [set(cell["after"]) for cell in found["cells"]] == [{"own.sums"}, {"own.facts"}, {"own.sums", "own.facts"}]
    assert inputs(jobs(found, "evaluate")["gt_sft_facts_base_nano.own.facts"])["facts"] == "prepare/facts"


def test_a_domain_may_be_measured_on_others(project: Project) -> None:
    domains = {"sums": {"extends": "sums", "measured_on": ["facts", "refusals"]}}
    found = plan(project, evaluate={"suites": ["own"]}, define={"domains": domains, "suites": {"own": OWN}})
    assert list(found["cells"][0]["after"]) == ["own.facts", "own.refusals"]


def test_a_suite_may_be_for_domains_of_one_source(project: Project) -> None:
    axes = {**AXES, "domain": ["sums", "facts"]}
    define = {"suites": {"own": {**OWN, "source": "facts"}}}
    found = plan(project, axes=axes, evaluate={"suites": ["harm", "own"]}, define=define)
    assert [list(cell["after"]) for cell in found["cells"]] == [["harm"], ["harm", "own.facts"]]


def test_what_is_compared_with_a_reference_waits_for_its_scores(project: Project) -> None:
    domains = {"sums": {"extends": "sums", "reference": "safe"}}
    define = {"domains": domains, "suites": {"own": {**OWN, "reference": True}}}
    scored = jobs(plan(project, evaluate={"suites": ["own"]}, define=define), "evaluate")
    assert inputs(scored["gt_sft_sums_base_nano.own.sums"])["reference"] == "evaluate/safe_nano.own.sums"
    assert "reference" not in inputs(scored["safe_nano.own.sums"]), "it is compared with nothing itself"
    started = jobs(plan(project, axes={**AXES, "start": ["safe"]}, evaluate={"suites": ["own"]}, define=define), "evaluate")
    assert sorted(started) == ["gt_sft_sums_safe_nano.own.sums", "safe_nano.own.sums"], "a start that is the reference"


def test_a_reference_that_there_is_not_is_one_message(project: Project) -> None:
    define = {"suites": {"own": {**OWN, "reference": True}}}
    result = validate(project, evaluate={"suites": ["own"]}, define=define)
    assert (result.code, len(result.errors)) == (1, 1)
    assert "there is none" in result.err and "give the domain `reference: START`" in result.err
