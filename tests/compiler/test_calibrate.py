"""`lethe calibrate`: the paces of trainings that are done, for the catalog."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compiler.project import Project, Result


def calibrate(project: Project, *arguments: str) -> Result:
    return project.lethe("calibrate", "specs/toy.yaml", "--store", str(project.root / "store"), *arguments)


def trainings(project: Project, what: str) -> list[dict[str, Any]]:
    return [job for job in project.jobs().values() if job["kind"] == "train" and job["what"] == what]


def done(project: Project, job: dict[str, Any], seconds: float | None, **facts: int) -> Path:
    """Leave the done-marker that the runtime would leave."""
    folder = project.root / "store" / f"{job['id']}-{job['fingerprint'][:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    marker = {"lethe": 1, "job": job["id"], "kind": "train", "type": job["output"], "fingerprint": job["fingerprint"],
              "facts": facts, "seconds": seconds, "finished": "2026-11-22T09:00:00Z"}  # fmt: skip
    (folder / "DONE.json").write_text(json.dumps(marker))
    return folder / "DONE.json"


def test_it_prints_the_median_pace_of_each_algorithm_and_scale(compiled: Project) -> None:
    for job, seconds in zip(trainings(compiled, "sft"), (10, 20, 60), strict=False):
        done(compiled, job, seconds, steps=20)
    done(compiled, trainings(compiled, "grpo")[0], 15, steps=10)
    said = calibrate(compiled)
    assert said.code == 0
    assert "nano: 1  # 3 trainings, from 0.5 to 3" in said.out
    assert "nano: 1.5  # 1 training" in said.out
    assert "trainings are not done, and say nothing" in said.err


def test_what_it_prints_can_be_pasted_into_the_study(compiled: Project) -> None:
    job = trainings(compiled, "sft")[0]
    done(compiled, job, 720, steps=20)
    compiled.add("\ndefine:\n" + "".join(f"  {line}\n" for line in calibrate(compiled).out.splitlines()))
    compiled.compile()
    after = compiled.jobs()[job["id"]]
    assert after["fingerprint"] == job["fingerprint"]
    assert after["cost"]["hours"] == pytest.approx(20 * 36 / 3600)


def test_gpus_of_a_kind_have_a_pace_of_their_own(project: Project) -> None:
    project.edit("toy.yaml", "cluster: here", "cluster: gres_site")
    project.compile()
    done(project, trainings(project, "grpo")[0], 25, steps=10)
    said = calibrate(project)
    assert yaml.safe_load(said.out) == {"algorithms": {"grpo": {"extends": "grpo", "pace": {"nano": {"a100l": 2.5}}}}}


def test_json_has_the_spread_and_what_says_nothing(compiled: Project) -> None:
    (first, second, *_) = trainings(compiled, "sft")
    done(compiled, first, 30, updates=20)
    done(compiled, second, None, updates=20)
    said = calibrate(compiled, "--json")
    found = json.loads(said.out)
    assert found["paces"] == [
        {"algorithm": "sft", "scale": "nano", "gpu": None, "median": 1.5, "least": 1.5, "most": 1.5, "trainings": 1}
    ]
    assert found["untimed"] == [second["id"]]
    assert found["pending"] == len(trainings(compiled, "sft")) + len(trainings(compiled, "grpo")) - 2
    assert "1 of specs/toy.yaml's trainings are done, but were not timed" in said.err


def test_results_of_another_plan_and_broken_markers_do_not_count(compiled: Project) -> None:
    (first, second, *_) = trainings(compiled, "sft")
    other = done(compiled, first, 30, steps=20)
    other.write_text(other.read_text().replace(first["fingerprint"], "0" * 64))
    done(compiled, second, 30, steps=20).write_text('{"lethe": 1, "seconds": ')
    said = calibrate(compiled)
    assert (said.code, said.out) == (3, "")


def test_a_study_that_is_not_compiled_is_one_message(project: Project) -> None:
    said = calibrate(project)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("specs/toy.yaml is not compiled yet")


def test_plan_md_tells_expected_gpu_hours_beside_those_at_most(project: Project) -> None:
    project.edit("toy.yaml", "cluster: here", "cluster: gres_site")
    project.add("\ndefine: {algorithms: {sft: {extends: sft, pace: 900}}}\n")
    project.compile()
    page = (project.tree / "PLAN.md").read_text()
    worst = sum(job["cost"]["gpu_hours"] for job in project.jobs().values())
    known = [job["cost"] for job in project.jobs().values() if job["cost"]["gpu_hours_expected"] is not None]
    assert {cost["gpu_hours_expected"] for cost in known} == {2 * 20 * 900 / 3600}
    expected = worst - sum(cost["gpu_hours"] - cost["gpu_hours_expected"] for cost in known)
    assert f"at most {worst:,.1f} GPU-hours" in page
    assert f"{expected:,.1f} expected" in page
    assert "| gt_sft_sums_base_nano | 100 | 20 |" in page
    assert "| 5.0 | 48.0 |" in page
