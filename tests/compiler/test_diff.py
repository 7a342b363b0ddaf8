"""`lethe diff` says what compiling would change, which results that invalidates, and what that costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import compiler.lower.workshop
from tests.compiler.project import Project, descendants
from tests.compiler.stored import finish

RECIPES, PLACES, SUBJECTS = "catalog/recipes.yaml", "catalog/places.yaml", "catalog/subjects.yaml"
TRAIN = "train/gt_sft_facts_base_nano"
OWN = {TRAIN, "train/gt_sft_facts_safe_nano"}  # what the rule gentler_facts sets the learning rate of


def told(project: Project, *options: str) -> list[str]:
    """The lines of `lethe diff`."""
    result = project.lethe("diff", "specs/toy.yaml", *options)
    assert (result.code, result.err) == (0, "")
    return result.out.splitlines()


def on_gpus(project: Project) -> None:
    """Have trainings take two GPUs, and supervised ones 36 seconds a step of 20."""
    project.edit(
        PLACES, "train: {time: 2:00:00, cpus: 1, mem: 4G}", "train: {time: 2:00:00, cpus: 1, mem: 4G, gpus: 2, gpu: a100}"
    )
    project.edit(RECIPES, "about: Supervised fine-tuning\n    backend: trl\n", "about: SFT\n    pace: 36\n    backend: trl\n")
    project.compile()


# --- nothing, and everything ----------------------------------------------------------------------------------------------


def test_no_change_is_said_in_one_line(compiled: Project) -> None:
    for options in ([], ["--summary"], ["--full"], ["--markdown"]):
        assert told(compiled, *options) == ["toy: no changes; what is generated is what the spec compiles to."]
    assert compiled.lethe("diff", "specs/toy.yaml", "--exit-code").code == 0
    found = compiled.diff()
    assert found["empty"] is True
    assert not any(
        found[key] for key in ("added", "removed", "renamed", "changes", "stale", "files", "edited", "jobs", "notes")
    )


def test_before_the_first_compile_everything_is_added(project: Project) -> None:
    result = project.lethe("diff", "specs/toy.yaml", "--exit-code")
    assert result.code == 2
    lines = result.out.splitlines()
    assert lines[0] == "toy, which is not compiled yet:"
    assert "  + 3 data sets of rows: prepare/sums, prepare/facts, prepare/refusals" in lines
    assert "  + 15 trainings in all 14 cells" in lines
    assert lines[-1].startswith("Plan: 65 to add, 0 to change (0 invalidate results), 0 to remove; 0 become stale. ")
    found = project.diff()
    assert (len(found["added"]), found["removed"], found["changes"], found["stale"]) == (65, [], [], [])
    assert {job["why"] for job in found["jobs"]} == {"nothing was compiled before"}
    assert not project.generated.exists(), "and nothing is written"


# --- classes of changes ---------------------------------------------------------------------------------------------------


def test_a_setting_is_shown_with_its_cells_its_values_and_all_that_it_invalidates(compiled: Project) -> None:
    compiled.edit("toy.yaml", "lr: 5e-4", "lr: 6e-4")
    found = compiled.diff()
    (change,) = found["changes"]
    assert (change["field"], change["old"], change["new"]) == ("settings.lr", 0.0005, 0.0006)
    assert (change["effect"], set(change["jobs"])) == ("invalidates results", OWN)
    assert set(found["stale"]) == descendants(compiled.jobs(), OWN) - OWN
    assert told(compiled) == [
        "toy:",
        "  -/+ 2 cells of method=gt_sft, domain=facts: settings.lr 0.0005 -> 0.0006  (invalidates results)",
        "  = 4 evaluations in 2 cells of method=gt_sft, domain=facts, and report/toy: stale, the same with changed inputs",
        "  In all, 2 trainings, 4 evaluations and 1 report have to be made again, up to 0 GPU-h; nothing of it was finished.",
        "Plan: 0 to add, 2 to change (2 invalidate results), 0 to remove; 5 become stale. 0 GPU-h expected, 0 worst case.",
    ]


def test_every_job_has_its_reason_in_the_full_form(compiled: Project) -> None:
    compiled.edit("toy.yaml", "lr: 5e-4", "lr: 6e-4")
    compiled.edit(RECIPES, "micro_batch_size: 1", "micro_batch_size: 2")
    lines = told(compiled, "--full")
    assert f"    -/+ {TRAIN}: execution.micro_batch_size 1 -> 2; settings.lr 0.0005 -> 0.0006" in lines
    assert "    ~   train/on_rl_sums_base_nano: execution.micro_batch_size 1 -> 2" in lines
    assert f"    =   evaluate/gt_sft_facts_base_nano.harm: made from {TRAIN}, which changes" in lines
    found = compiled.diff()
    changed = {job for change in found["changes"] for job in change["jobs"]} | set(found["stale"])
    assert {reason["job"] for reason in found["jobs"]} == changed
    assert {line.split()[1].rstrip(":") for line in lines if line.startswith("    ")} == changed


@pytest.mark.parametrize(
    ("edit", "changed"),
    [
        ((RECIPES, "micro_batch_size: 1", "micro_batch_size: 2"), {"execution.micro_batch_size": (1, 2)}),
        ((PLACES, "train: {time: 2:00:00", "train: {time: 1-0"), {"resources.time": ("2:00:00", "1-0")}),
        ((PLACES, 'eval: {time: "90"', 'eval: {partition: long, time: "90"'), {"resources.partition": (None, "long")}),
        ((PLACES, 'store: "$LETHE_ROOT/store"', "store: /else"), {"plan.store": ("$LETHE_ROOT/store", "/else")}),
    ],
)
def test_how_a_job_is_run_invalidates_nothing(edit: tuple[str, str, str], changed: object, compiled: Project) -> None:
    compiled.edit(*edit)
    found = compiled.diff()
    assert {change["field"]: (change["old"], change["new"]) for change in found["changes"]} == changed
    assert {change["effect"] for change in found["changes"]} == {"execution only"}
    assert (found["added"], found["removed"], found["stale"]) == ([], [], [])
    lines = told(compiled)
    assert lines[-1].endswith("(0 invalidate results), 0 to remove; 0 become stale. 0 GPU-h expected, 0 worst case.")
    assert not any("made again" in line for line in lines)
    assert compiled.lethe("diff", "specs/toy.yaml", "--exit-code").code == 2


def test_how_a_job_is_run_invalidates_what_it_decides(compiled: Project) -> None:
    """TRL's bnpo averages within a micro-batch; the same edit leaves the other trainings as they are."""
    compiled.edit(RECIPES, "loss_type: dapo", "loss_type: bnpo")
    before = compiled.compile()
    compiled.edit(RECIPES, "micro_batch_size: 1", "micro_batch_size: 2")
    effects = {change["field"]: (change["effect"], set(change["jobs"])) for change in compiled.diff()["changes"]}
    sampled = {job["id"] for job in before["jobs"] if job["what"] == "grpo"}
    trained = {job["id"] for job in before["jobs"] if job["what"] == "sft"}
    assert effects == {
        "config.execution.micro_batch_size": ("invalidates results", sampled),
        "execution.micro_batch_size": ("execution only", trained),
    }


def test_comments_and_spelling_of_numbers_are_no_change(compiled: Project) -> None:
    compiled.edit("toy.yaml", "lr: 5e-4", "lr: 0.00050  # gentle")
    compiled.edit(RECIPES, "clip_high: 0.2", "clip_high: 2.0e-1")
    assert compiled.diff()["empty"] is True


def test_what_only_people_read_is_cosmetic(compiled: Project) -> None:
    compiled.edit("toy.yaml", "why: facts are forgotten faster than sums", "why: so")
    found = compiled.diff()
    assert {(change["effect"], *change["jobs"]) for change in found["changes"]} == {("cosmetic",)}
    assert (found["stale"], found["jobs"], found["empty"]) == ([], [], False)
    assert "  ~ the plan: rules 2 -> 2 items (1 new, 1 gone)  (cosmetic)" in told(compiled)


def test_what_only_scripts_hold_is_a_difference_of_files(compiled: Project) -> None:
    compiled.edit(PLACES, 'OMP_NUM_THREADS: "1"', 'OMP_NUM_THREADS: "2"')
    found = compiled.diff()
    assert (found["changes"], found["stale"], found["empty"]) == ([], [], False)
    assert set(found["files"]) == {f"jobs/{name}.sh" for name in compiled.jobs()} | {"manifest.sha256"}
    lines = told(compiled)
    assert lines[1] == "  ~ no job changes; only these files differ:  (execution only)"
    assert lines[-2] == "        and 62 more"


def test_files_edited_by_hand_come_before_the_plan(compiled: Project) -> None:
    (compiled.tree / "PLAN.md").write_text("mine\n")
    (compiled.tree / "notes").write_text("mine\n")
    found = compiled.diff()
    assert found["edited"] == found["files"] == ["PLAN.md", "notes"]
    lines = told(compiled)
    assert lines[0].startswith("not as compiled; compiling refuses")
    assert lines[1:5] == ["  ! PLAN.md", "  ! notes", "toy:", "  = nothing else differs from what the spec compiles to"]
    compiled.edit("toy.yaml", "lr: 5e-4", "lr: 6e-4")
    assert told(compiled)[3:5] == [
        "toy:",
        "  -/+ 2 cells of method=gt_sft, domain=facts: settings.lr 0.0005 -> 0.0006  (invalidates results)",
    ]


def test_the_code_of_a_kind_is_a_cause(compiled: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = json.loads(compiler.lower.workshop.MANIFEST.read_text())
    manifest["kinds"]["evaluate"]["version"] += 1
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr(compiler.lower.workshop, "MANIFEST", tmp_path / "manifest.json")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # what was compiled with the real one is not remembered
    found = compiled.diff()
    (change,) = found["changes"]
    assert (change["field"], change["effect"], found["stale"]) == ("code", "invalidates results", ["report/toy"])
    assert set(change["jobs"]) == {job for job in compiled.jobs() if job.startswith("evaluate/")}


def test_who_set_a_value_is_cosmetic(compiled: Project) -> None:
    compiled.edit(
        RECIPES,
        "    stages: [{algorithm: sft, dataset: truth}]",
        "    stages: [{algorithm: sft, dataset: truth, settings: {seed: 1}}]",
    )
    found = compiled.diff()
    assert {(change["field"], change["effect"]) for change in found["changes"]} == {("provenance.seed", "cosmetic")}
    assert "  ~ 4 cells of method=gt_sft: provenance.seed algorithm sft -> method gt_sft  (cosmetic)" in told(compiled)
    assert all(line.endswith("unchanged") for line in compiled.lethe("ls", "specs/toy.yaml").out.splitlines())


def test_another_input_is_named_by_the_axes_of_the_cells_that_have_it(compiled: Project) -> None:
    compiled.edit(
        RECIPES, "    stages: [{algorithm: grpo, dataset: prompts}]", "    stages: [{algorithm: grpo, dataset: more_prompts}]"
    )
    text = (compiled.root / "specs" / RECIPES).read_text()
    own = text.index("  prompts:\n", text.index("\ndatasets:"))
    copied = "  more_prompts:\n    extends: prompts\n    settings: {seed: 2}\n"
    (compiled.root / "specs" / RECIPES).write_text(text[:own] + copied + text[own:])
    lines = told(compiled)
    assert (
        "  -/+ 4 cells of method=on_rl: input.data build/prompts_{domain} -> build/more_prompts_{domain}  (invalidates results)"
    ) in lines
    one = [change["new"] for change in compiled.diff()["changes"] if change["field"] == "input.data"]
    assert one == ["build/more_prompts_{domain}"]


def test_of_long_texts_what_tells_them_apart_is_shown(compiled: Project) -> None:
    path = compiled.tree / "plan.json"
    about, other = "a" * 200 + "one" + "b" * 200, "a" * 200 + "two" + "b" * 200
    compiled.edit("toy.yaml", "about: Four methods on two toy domains", f"about: {about}")
    compiled.compile()
    assert about in path.read_text()
    compiled.edit("toy.yaml", about, other)
    shown = [line for line in told(compiled) if "the plan" in line]
    assert shown == [f"  ~ the plan: about ...{'a' * 10}one{'b' * 47}... -> ...{'a' * 10}two{'b' * 47}...  (cosmetic)"]


# --- jobs that come, go, and are renamed ----------------------------------------------------------------------------------


def test_jobs_that_come_and_go_are_told_by_kind(compiled: Project) -> None:
    compiled.edit("toy.yaml", "method: [gt_sft, rs_sft, on_rl, staged]", "method: [gt_sft, on_rl, staged, taught]")
    compiled.edit(
        RECIPES,
        "  on_rl:\n",
        "  taught:\n    about: From a teacher\n    stages: [{algorithm: sft, dataset: taught}]\n  on_rl:\n",
    )
    found, lines = compiled.diff(), told(compiled)
    assert {name for name in found["added"] if not name.startswith("evaluate/")} == {
        "fetch/big", "generate/taught_sums", "generate/taught_facts", "build/taught_sums", "build/taught_facts",
        *(f"train/taught_{domain}_{start}_nano" for domain in ("sums", "facts") for start in ("base", "safe")),
    }  # fmt: skip
    assert len(found["removed"]) == 4 * 5 and all("rs_sft" in name or "own_answers" in name for name in found["removed"])
    assert {
        "  + fetch/big",
        "  + 4 trainings in 4 cells of method=taught",
        "  - 8 evaluations in 4 cells of method=rs_sft",
    } <= set(lines)
    assert "        inputs: 8 added, 8 removed" in lines
    assert "Plan: 17 to add, 1 to change (1 invalidate results), 20 to remove; 0 become stale. " in lines[-1]
    why = {reason["job"]: (reason["sign"], reason["why"]) for reason in found["jobs"]}
    assert why["fetch/big"] == ("+", "generate/taught_sums reads it")
    assert why["train/taught_sums_base_nano"] == ("+", "its cell is new")
    assert why["build/own_answers_sums_base_nano"] == ("-", "train/rs_sft_sums_base_nano, which read it, is gone")


def rename_method(project: Project) -> None:
    project.edit(RECIPES, "  gt_sft:\n", "  truth_sft:\n")
    project.edit("toy.yaml", "method: [gt_sft,", "method: [truth_sft,")
    project.edit("toy.yaml", "method: gt_sft", "method: truth_sft")


def test_a_rename_is_one(project: Project) -> None:
    on_gpus(project)
    finish(project, TRAIN)
    rename_method(project)
    found, lines = project.diff(), told(project)
    assert (found["added"], found["removed"], found["stale"]) == ([], [], [])
    assert {(item["old"], item["new"]) for item in found["renamed"]} == {
        (job, job.replace("gt_sft", "truth_sft")) for job in project.jobs() if "/gt_sft" in job
    }
    assert "  ~ renamed train/gt_sft_sums_base_nano -> train/truth_sft_sums_base_nano" in lines
    assert "  ~ renamed 8 evaluations more, method gt_sft -> truth_sft" in lines
    (move,) = found["toll"]["moved"]
    assert any(f"mv {move[0]} {move[1]}" in line for line in lines), "its result is found only under its own name"
    assert move[1].startswith("train/truth_sft_facts_base_nano-")
    assert lines[-1].endswith("0.4 GPU-h expected, 4 worst case."), "who moves nothing trains it again"


def test_for_ls_a_renamed_job_is_a_removed_and_a_new_one(compiled: Project) -> None:
    rename_method(compiled)
    for word, method in (("new", "truth_sft"), ("removed", "gt_sft")):
        rows = json.loads(compiled.lethe("ls", "specs/toy.yaml", f"state:{word},stage:train", "--json").out)
        assert len(rows) == 4 and all(row["job"].startswith(f"train/{method}_") for row in rows)


def test_a_rename_below_a_change_is_still_one(compiled: Project) -> None:
    rename_method(compiled)
    compiled.edit(SUBJECTS, "refusals: {weight: 2,", "refusals: {weight: 3,")
    found = compiled.diff()
    assert (found["added"], found["removed"]) == ([], [])
    stale = {item["old"] for item in found["renamed"] if item["stale"]}
    assert stale == {job for job in compiled.jobs() if "/gt_sft" in job and "_safe_" in job}


# --- what it costs --------------------------------------------------------------------------------------------------------


def test_gpu_hours_are_told_as_expected_and_at_the_time_limits(project: Project) -> None:
    on_gpus(project)
    project.edit("toy.yaml", "lr: 5e-4", "lr: 6e-4")
    lines = told(project)
    assert lines[-1].endswith("5 become stale. 0.8 GPU-h expected, 8 worst case.")
    assert "up to 8 GPU-h" in lines[-2]


def test_finished_results_that_are_lost_are_counted(project: Project) -> None:
    on_gpus(project)
    for job in (TRAIN, "evaluate/gt_sft_facts_base_nano.harm", "train/gt_sft_sums_base_nano"):
        finish(project, job)
    finish(project, "train/gt_sft_facts_safe_nano", "another fingerprint")
    project.edit("toy.yaml", "lr: 5e-4", "lr: 6e-4")
    assert "; 2 finished results are invalidated." in "\n".join(told(project))
    assert project.diff()["toll"]["invalidated"] == 2
    assert "; nothing of it was finished." in "\n".join(told(project, "--store", "elsewhere"))


def test_what_is_finished_already_costs_nothing(project: Project) -> None:
    on_gpus(project)
    finish(project, TRAIN)
    project.edit("toy.yaml", "lr: 5e-4", "lr: 6e-4")
    project.compile()
    project.edit("toy.yaml", "lr: 6e-4", "lr: 5e-4")
    lines = told(project)
    assert "  1 result is in the store already, and costs nothing." in lines
    assert lines[-1].endswith("0.4 GPU-h expected, 4 worst case.")


def test_a_store_that_this_shell_does_not_know_is_said(compiled: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LETHE_STORE", raising=False)
    compiled.edit(PLACES, 'store: "$LETHE_ROOT/store"', 'store: "$NOWHERE_AT_ALL/store"')
    compiled.edit("toy.yaml", "lr: 5e-4", "lr: 6e-4")
    lines = told(compiled)
    assert any(
        line.startswith("  note: finished results are not counted: the store of toy is $NOWHERE_AT_ALL") for line in lines
    )
    assert compiled.diff()["toll"]["invalidated"] is None


# --- forms ----------------------------------------------------------------------------------------------------------------


def test_the_summary_is_a_few_lines(compiled: Project) -> None:
    compiled.edit("toy.yaml", "method: [gt_sft, rs_sft, on_rl, staged]", "method: [gt_sft, on_rl, staged]")
    compiled.edit("toy.yaml", "lr: 5e-4", "lr: 6e-4")
    lines = told(compiled, "--summary")
    assert lines[1] == "  - 4 generations, 4 datasets, 4 trainings and 8 evaluations"
    assert len(lines) <= 12 and lines[-1] == told(compiled)[-1]


def test_markdown_has_the_sum_and_a_table_of_causes(compiled: Project) -> None:
    compiled.edit("toy.yaml", "lr: 5e-4", "lr: 6e-4")
    lines = told(compiled, "--markdown")
    assert lines[0] == "### toy"
    assert lines[2].startswith("**Plan: 0 to add, 2 to change (2 invalidate results)")
    assert "| `-/+` | 2 cells of method=gt\\_sft, domain=facts | settings.lr 0.0005 -> 0.0006 | invalidates results |" in lines
    assert not any("<details>" in line for line in lines)
    full = told(compiled, "--markdown", "--full")
    assert full[: len(lines)] == lines and full[-1] == "</details>"
    assert sum(line.startswith("| `=`") for line in full) == 1 + 5


@pytest.mark.parametrize("options", [["--summary", "--full"], ["--json", "--markdown"]])
def test_forms_that_exclude_each_other_are_a_mistake(options: list[str], compiled: Project) -> None:
    result = compiled.lethe("diff", "specs/toy.yaml", *options)
    assert (result.code, result.out) == (1, "") and "not allowed with" in result.err


# --- plans that are none --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "is not a plan: 'lethe'"),
        ('{"lethe": 99}', "was written by another version of Lethe"),
        ("[1]", "is not a plan"),
        ("{", "is not a plan"),
        ('{"lethe": 4, "jobs": [{}], "cells": []}', "is not a plan"),
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
