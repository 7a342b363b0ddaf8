"""`lethe diff` says what compiling would change, which results that invalidates, and what becomes stale with them."""

from __future__ import annotations

import json

import pytest

from tests.compiler.project import Project, descendants

RECIPES, PLACES, SUBJECTS = "catalog/recipes.yaml", "catalog/places.yaml", "catalog/subjects.yaml"
TRAIN = "train/gt_sft_facts_base_nano"


def test_no_change_is_said_in_one_line(compiled: Project) -> None:
    result = compiled.lethe("diff", "specs/toy.yaml", "--exit-code")
    assert (result.code, result.err) == (0, "")
    assert result.out == "toy: no changes; what is generated is what the spec compiles to.\n"
    empty = {"added": [], "removed": [], "changes": [], "stale": [], "files": [], "empty": True}
    assert compiled.diff() == empty


def test_before_the_first_compile_everything_is_added(project: Project) -> None:
    result = project.lethe("diff", "specs/toy.yaml", "--exit-code")
    assert result.code == 2
    assert "  + prepare/sums\n" in result.out and "  + ... and 61 more\n" in result.out
    found = project.diff()
    assert (len(found["added"]), found["removed"], found["changes"], found["stale"]) == (65, [], [], [])
    assert not project.generated.exists(), "and nothing is written"


def test_a_setting_is_shown_with_its_old_and_its_new_value_and_all_that_it_invalidates(compiled: Project) -> None:
    compiled.edit("toy.yaml", "lr: 5e-4", "lr: 6e-4")
    own = {TRAIN, "train/gt_sft_facts_safe_nano"}
    found = compiled.diff()
    assert {change["field"]: (change["old"], change["new"]) for change in found["changes"]} == {
        "config.args.learning_rate": (0.0005, 0.0006)
    }
    assert all(change["effect"] == "invalidates results" and set(change["jobs"]) == own for change in found["changes"])
    assert set(found["stale"]) == descendants(compiled.jobs(), own) - own
    text = compiled.lethe("diff", "specs/toy.yaml").out
    assert f"  -/+ config.args.learning_rate: 0.0005 -> 0.0006  (invalidates results)\n        {TRAIN}\n" in text
    assert "  = 5 jobs become stale: the same themselves, with changed inputs\n        evaluate/gt_sft_facts_base_nano" in text
    assert "Plan: 0 to add, 2 to change (2 invalidate results), 0 to remove; 5 become stale. " in text


@pytest.mark.parametrize(
    ("edit", "changed"),
    [
        ((RECIPES, "micro_batch_size: 8", "micro_batch_size: 4"), {"execution.micro_batch_size": (8, 4)}),
        ((PLACES, "train: {time: 2:00:00", "train: {time: 1-0"), {"resources.time": ("2:00:00", "1-0")}),
        ((PLACES, 'eval: {time: "90"', 'eval: {partition: long, time: "90"'), {"resources.partition": (None, "long")}),
    ],
)
def test_how_a_job_is_run_invalidates_nothing(edit: tuple[str, str, str], changed: object, compiled: Project) -> None:
    compiled.edit(*edit)
    found = compiled.diff()
    assert {change["field"]: (change["old"], change["new"]) for change in found["changes"]} == changed
    assert {change["effect"] for change in found["changes"]} == {"execution only"}
    assert (found["added"], found["removed"], found["stale"]) == ([], [], [])
    assert "(0 invalidate results)" in compiled.lethe("diff", "specs/toy.yaml").out
    assert compiled.lethe("diff", "specs/toy.yaml", "--exit-code").code == 2


def test_changes_of_both_kinds_in_one_job_are_told_apart(compiled: Project) -> None:
    compiled.edit("toy.yaml", "lr: 5e-4", "lr: 6e-4")
    compiled.edit(RECIPES, "micro_batch_size: 8", "micro_batch_size: 4")
    effects = {change["field"]: change["effect"] for change in compiled.diff()["changes"] if TRAIN in change["jobs"]}
    assert effects == {"config.args.learning_rate": "invalidates results", "execution.micro_batch_size": "execution only"}


def test_what_only_scripts_hold_is_a_difference_of_files(compiled: Project) -> None:
    compiled.edit(PLACES, 'OMP_NUM_THREADS: "1"', 'OMP_NUM_THREADS: "2"')
    found = compiled.diff()
    assert (found["changes"], found["stale"], found["empty"]) == ([], [], False)
    assert set(found["files"]) == {f"jobs/{name}.sh" for name in compiled.jobs()} | {"manifest.sha256"}
    text = compiled.lethe("diff", "specs/toy.yaml").out
    assert "  ~ no job changes; only these files differ  (execution only)\n" in text
    assert "66 generated files differ." in text
    assert compiled.lethe("diff", "specs/toy.yaml", "--exit-code").code == 2


def test_an_edit_by_hand_is_a_difference(compiled: Project) -> None:
    (compiled.tree / "PLAN.md").write_text("mine\n")
    (compiled.tree / "notes").write_text("mine\n")
    assert compiled.diff()["files"] == ["PLAN.md", "notes"]


def test_jobs_that_come_and_go_are_listed(compiled: Project) -> None:
    compiled.edit("toy.yaml", "method: [gt_sft, rs_sft, on_rl, staged]", "method: [gt_sft, on_rl, staged, taught]")
    compiled.edit(
        RECIPES,
        "  on_rl:\n",
        "  taught:\n    about: From a teacher\n    stages: [{algorithm: sft, dataset: taught}]\n  on_rl:\n",
    )
    result = compiled.lethe("diff", "specs/toy.yaml")
    found = compiled.diff()
    assert {name for name in found["added"] if not name.startswith("evaluate/")} == {
        "fetch/big", "generate/taught_sums", "generate/taught_facts", "build/taught_sums", "build/taught_facts",
        *(f"train/taught_{domain}_{start}_nano" for domain in ("sums", "facts") for start in ("base", "safe")),
    }  # fmt: skip
    assert len(found["removed"]) == 4 * 5 and all("rs_sft" in name or "own_answers" in name for name in found["removed"])
    assert "  - generate/own_answers_sums_base_nano\n" in result.out
    added, removed = len(found["added"]), len(found["removed"])
    assert f"Plan: {added} to add, 1 to change (1 invalidate results), {removed} to remove; 0 become stale." in result.out
    removed_inputs = [
        change for change in found["changes"] if change["field"].startswith("input.") and change["new"] == "(absent)"
    ]
    assert removed_inputs and all(change["jobs"] == ["report/toy"] for change in removed_inputs)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "is not a plan: 'lethe'"),
        ('{"lethe": 99}', "was written by another version of Lethe"),
        ("[1]", "is not a plan"),
        ("{", "is not a plan"),
        ('{"lethe": 2, "jobs": [{}], "cells": []}', "is not a plan"),
        ("\udcff", "is not a plan"),
    ],
)
def test_a_plan_that_is_none_is_one_message(content: str, message: str, compiled: Project) -> None:
    (compiled.tree / "plan.json").write_bytes(content.encode(errors="surrogateescape"))
    result = compiled.lethe("diff", "specs/toy.yaml")
    assert (result.code, result.out) == (1, "")
    assert (
        result.err.startswith("generated/toy/plan.json ") and message in result.err and "Compile the study again." in result.err
    )
    as_json = compiled.lethe("diff", "specs/toy.yaml", "--json")
    assert (as_json.code, json.loads(as_json.out)) == (1, {"errors": [{"message": result.err.rstrip()}]})


def test_a_plan_in_the_place_of_which_a_folder_stands_is_one_message(compiled: Project) -> None:
    (compiled.tree / "plan.json").unlink()
    (compiled.tree / "plan.json").mkdir()
    result = compiled.lethe("diff", "specs/toy.yaml")
    assert (result.code, result.err) == (
        1, "cannot read generated/toy/plan.json: Is a directory. Compile the study first.\n",
    )  # fmt: skip
