"""Relearning: one further training of every cell on what it was trained on, measured after some of its steps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.compiler.project import Project
from tests.compiler.small import AXES, inputs, jobs, plan, validate
from tests.compiler.test_checkpoints import OWN

RELEARN: dict[str, Any] = {"algorithm": "sft", "dataset": "truth", "steps": [2, 5]}
CELL = "gt_sft_sums_base_nano"
COMPARED = {
    "domains": {"sums": {"extends": "sums", "reference": "safe"}},
    "suites": {"own": {**OWN, "reference": True}},
}


def relearning(project: Project, **changes: Any) -> dict[str, Any]:
    return plan(project, evaluate={"suites": ["harm"], "relearn": {**RELEARN, **changes}})


def test_the_last_checkpoint_is_trained_on_and_measured_after_each_step(project: Project) -> None:
    found = relearning(project)
    training = jobs(found, "train")[f"{CELL}.relearn"]
    assert inputs(training) == {"start": f"train/{CELL}", "data": "build/truth_sums"}
    assert training["execution"]["keep"] == [2], "the last step's checkpoint is the training's own"
    (cell,) = found["cells"]
    assert [(point["step"], point["checkpoint"]) for point in cell["relearned"]] == [
        (2, f"pick/{CELL}.relearn.step2"),
        (5, f"train/{CELL}.relearn"),
    ]
    measured = jobs(found, "evaluate")
    assert [inputs(measured[f"{CELL}.relearn.step{step}.harm"])["model"] for step in (2, 5)] == [
        point["checkpoint"] for point in cell["relearned"]
    ]


def test_it_takes_as_many_steps_as_are_measured_with_settings_of_its_own(project: Project) -> None:
    training = jobs(relearning(project, settings={"lr": 5e-4}), "train")[f"{CELL}.relearn"]
    assert (training["settings"]["steps"], training["settings"]["epochs"], training["settings"]["lr"]) == (5, None, 5e-4)
    assert training["settings"]["max_length"] == 64, "the domain's"
    assert {training["provenance"][name] for name in ("steps", "lr")} == {"relearn"}
    longer = jobs(relearning(project, settings={"steps": 8}), "train")[f"{CELL}.relearn"]
    assert (longer["settings"]["steps"], longer["execution"]["keep"]) == (8, [2, 5])


def test_no_axis_and_no_rule_changes_it(project: Project) -> None:
    evaluate = {"suites": ["harm"], "relearn": RELEARN}
    found = plan(project, axes={**AXES, "lr": [1e-3, 2e-3]}, evaluate=evaluate)
    again = [job for name, job in jobs(found, "train").items() if name.endswith(".relearn")]
    assert len(again) == 2 and {job["settings"]["lr"] for job in again} == {1e-3}


def test_it_may_have_suites_of_its_own(project: Project) -> None:
    found = relearning(project, suites=["skills"])
    (cell,) = found["cells"]
    assert set(cell["after"]) == {"harm"} and [set(point["after"]) for point in cell["relearned"]] == [{"skills"}] * 2
    (report,) = jobs(found, "report").values()
    assert [suite["name"] for suite in report["settings"]["suites"]] == ["harm", "skills"]
    assert set(inputs(report)) >= {job for point in cell["relearned"] for job in point["after"].values()}


def test_the_reference_start_learns_the_same_to_compare_with(project: Project) -> None:
    found = plan(project, evaluate={"suites": ["own"], "relearn": RELEARN}, define=COMPARED)
    training = jobs(found, "train")["safe_nano.relearn_sums"]
    assert inputs(training)["start"] == "pretrain/safe_nano"
    (report,) = jobs(found, "report").values()
    (cell,) = report["settings"]["cells"]
    reference = cell["reference"]
    assert reference["evaluations"] == {"own.sums": "evaluate/safe_nano.own.sums"}
    relearned = [point["evaluations"]["own.sums"] for point in reference["relearned"]]
    assert relearned == [f"evaluate/safe_nano.relearn_sums.step{step}.own.sums" for step in (2, 5)]
    assert {*relearned, *reference["evaluations"].values()} <= set(inputs(report))


def test_without_it_nothing_is_trained_again(project: Project) -> None:
    found = plan(project)
    assert list(jobs(found, "train")) == [CELL]
    assert found["cells"][0]["relearned"] == []


def test_a_value_of_it_is_explained_by_where_it_stands(project: Project) -> None:
    relearning(project, settings={"lr": 5e-4})
    said = project.lethe("explain", "specs/toy.yaml", f"train/{CELL}.relearn", "lr").out
    assert "relearn" in said and "specs/toy.yaml" in said and "algorithm sft" in said


def test_a_canary_relearns_one_step(project: Project) -> None:
    relearning(project)
    small = project.lethe("canary", "specs/toy.yaml", "--json")
    assert small.code == 0, small.err
    planned = json.loads((project.root / json.loads(small.out)["folder"] / "plan.json").read_text())
    found = {job["id"]: job for job in planned["jobs"]}
    assert found[f"train/{CELL}.relearn"]["execution"]["keep"] == [1]
    assert {name for name in found if ".relearn.step" in name} == {
        f"pick/{CELL}.relearn.step1",
        f"evaluate/{CELL}.relearn.step1.harm",
    }


WRONG = [
    ({"algorithm": "stf"}, "there is no algorithm 'stf'"),
    ({"dataset": "thruth"}, "there is no dataset 'thruth'"),
    ({"dataset": "prompts"}, "trains on dataset.sft; dataset 'prompts' is dataset.rl"),
    ({"steps": []}, "steps"),
    ({"steps": [2, 2]}, "2 is there twice"),
    ({"settings": {"learning_rate": 1}}, "unknown key 'learning_rate'"),
    ({"settings": {"steps": 3}}, "takes 3 steps, so there is no checkpoint at step 5"),
    ({"suites": ["hram"]}, "there is no suite 'hram'"),
]


@pytest.mark.parametrize(("changes", "said"), WRONG)
def test_a_slip_is_one_message(changes: dict[str, Any], said: str, project: Project) -> None:
    result = validate(project, evaluate={"suites": ["harm"], "relearn": {**RELEARN, **changes}})
    assert (result.code, len(result.errors)) == (1, 1), result.err
    assert said in result.err
