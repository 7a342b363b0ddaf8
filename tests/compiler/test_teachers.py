"""Teachers: fetched from the hub, or trained by the plan itself, once for all who learn from them."""

from __future__ import annotations

import pytest

from tests.compiler.project import Project

TEACHER = """define:
  teachers:
    tutor:
      about: Trained by the plan
      pretrain:
        domains: [sums, facts]
        settings:
          model: {architecture: llama, layers: 2, hidden: 48, heads: 2, vocabulary: 280}
          steps: 40
          batch: 16
          lr: 3e-3
          warmup: 5
          seed: 1
          mixture:
            sums: {weight: 1, rare: 1, slips: 0, column: solution}
            facts: {weight: 1, rare: 1, slips: 0, column: solution}
  datasets:
    taught: {extends: taught, traces: {model: tutor}}
"""


def taught(project: Project) -> None:
    project.edit("catalog/recipes.yaml", "dataset: own_answers}", "dataset: taught}")
    project.edit("catalog/subjects.yaml", "own_answers: {prompts: 40}", "taught: {prompts: 40}")


def test_a_teacher_that_the_plan_trains_serves_every_cell(project: Project) -> None:
    taught(project)
    project.add(TEACHER)
    jobs = {job["id"]: job for job in project.compile()["jobs"]}
    trained = jobs["pretrain/tutor"]
    assert [(edge["name"], edge["job"]) for edge in trained["inputs"]] == [("sums", "prepare/sums"), ("facts", "prepare/facts")]
    assert trained["settings"]["model"]["architecture"] == "llama"
    assert not any(name.startswith("fetch/") for name in jobs)
    readers = [name for name, job in jobs.items() if "pretrain/tutor" in {edge["job"] for edge in job["inputs"]}]
    assert sorted(readers) == ["generate/taught_facts", "generate/taught_sums"]
    learners = [name for name, job in jobs.items() if "build/taught_sums" in {edge["job"] for edge in job["inputs"]}]
    assert sorted(learners) == ["train/rs_sft_sums_base_nano", "train/rs_sft_sums_safe_nano"]


def test_a_teachers_settings_are_part_of_what_follows_from_it_and_of_nothing_else(project: Project) -> None:
    taught(project)
    project.add(TEACHER)
    before = {job["id"]: job["fingerprint"] for job in project.compile()["jobs"]}
    project.edit("toy.yaml", "steps: 40", "steps: 41")
    after = {job["id"]: job["fingerprint"] for job in project.compile()["jobs"]}
    changed = {name for name in before if before[name] != after[name]}
    assert {"pretrain/tutor", "generate/taught_sums", "build/taught_sums", "train/rs_sft_sums_base_nano"} <= changed
    assert not {"pretrain/base_nano", "build/truth_sums", "train/gt_sft_sums_base_nano"} & changed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "      pretrain:",
            "      hub: Example/Big\n      revision: main\n      pretrain:",
            "a teacher is a hub model (hub and",
        ),
        ("      about: Trained by the plan\n", "      about: x\n      revision: main\n", "a teacher is a hub model (hub and"),
        ("        domains: [sums, facts]", "        domains: [sums, facts]\n        start: base", "a teacher is of no scale"),
        ("domains: [sums, facts]", "domains: [sums, fcts]", "there is no domain 'fcts'"),
        ("architecture: llama", "architecture: lama", "did you mean 'llama'?"),
    ],
)
def test_a_teacher_that_is_not_one_is_told(scratch: Project, old: str, new: str, message: str) -> None:
    taught(scratch)
    scratch.add(TEACHER.replace(old, new, 1))
    result = scratch.lethe("compile", "specs/toy.yaml")
    assert result.code == 1 and len(result.errors) == 1
    assert message in result.err and "specs/toy.yaml:" in result.errors[0]


def test_what_is_built_of_the_same_answers_in_two_ways_has_two_names(project: Project) -> None:
    """Two datasets ask the same teacher the same: that is one sampling, and its answers are kept by each dataset's own rule."""
    taught(project)
    project.add(
        "define:\n  datasets:\n    all_taught: {extends: taught, settings: {keep: at_least, least: 1}}\n"
        "  methods:\n    gt_sft: {about: x, stages: [{algorithm: sft, dataset: all_taught}]}\n"
        "  domains:\n    sums: {extends: sums, datasets: {all_taught: {prompts: 40}}}\n"
    )
    jobs = {job["id"]: job for job in project.compile()["jobs"]}
    built = {name: job for name, job in jobs.items() if name in ("build/taught_sums", "build/all_taught_sums")}
    assert len(built) == 2
    (sampled,) = {edge["job"] for job in built.values() for edge in job["inputs"] if edge["name"] == "traces"}
    assert sampled in ("generate/taught_sums", "generate/all_taught_sums")
