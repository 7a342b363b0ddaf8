"""What happened in samplings and trainings travels with what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime.job import Input
from runtime.lifecycle import lineage
from runtime.store import markers

FACTS = {
    "generate/pairs": {"pass_rate": 0.6, "clip_rate": 0.1, "prompt_hash": "aa", "prompt_form": "ff"},
    "train/rl": {"alarms": [{"kind": "jump"}], "prompt_form": "ff", "loss": 0.5},
    "evaluate/rl.math": {"math": 0.7},
}


def done(folder: Path, job: str, inputs: dict[str, Input], type_: str = "checkpoint.hf") -> Input:
    """A job that is done, with what its inputs carried, as an input of others."""
    (folder / job).mkdir(parents=True)
    facts: dict[str, Any] = FACTS.get(job, {})
    kind, carried = job.split("/")[0], lineage.of(inputs)
    markers.write(folder / job, markers.Marker(job, kind, type_, "f" * 64, facts, 1.0, markers.now(), None, carried))
    return Input(job, type_, folder / job, "f" * 64)


def test_scores_tell_of_the_training_and_of_the_sampling_behind_it(tmp_path: Path) -> None:
    traces = done(tmp_path, "generate/pairs", {}, "traces")
    data = done(tmp_path, "build/pairs", {"traces": traces}, "dataset.preference")
    model = done(tmp_path, "train/rl", {"data": data})
    merged = done(tmp_path, "merge/rl", {"adapter": model})
    scores = done(tmp_path, "evaluate/rl.math", {"model": merged}, "scores")
    marker = markers.read(scores.path)
    assert marker is not None
    assert marker.lineage == (
        {"job": "generate/pairs", "kind": "generate", **FACTS["generate/pairs"], "side": "data"},
        {"job": "train/rl", "kind": "train", "alarms": [{"kind": "jump"}], "prompt_form": "ff", "side": "model"},
    )


def test_what_comes_along_two_ways_is_told_once_and_scores_to_compare_with_tell_nothing(tmp_path: Path) -> None:
    traces = done(tmp_path, "generate/pairs", {}, "traces")
    model = done(tmp_path, "train/rl", {"data": traces})
    reference = done(tmp_path, "evaluate/rl.math", {"model": model}, "scores")
    both = lineage.of({"data": traces, "model": model, "start": model})
    assert [entry["job"] for entry in both] == ["generate/pairs", "train/rl"]
    assert lineage.of({"reference": reference}) == ()


def test_a_teachers_training_is_no_part_of_the_models_own(tmp_path: Path) -> None:
    teacher = done(tmp_path, "train/teacher", {})
    traces = done(tmp_path, "generate/pairs", {"model": teacher}, "traces")
    model = done(tmp_path, "train/rl", {"data": traces, "teacher": teacher})
    sides = {entry["job"]: entry["side"] for entry in lineage.of({"model": model})}
    assert sides == {"train/teacher": "data", "generate/pairs": "data", "train/rl": "model"}


def test_an_input_that_is_not_done_tells_nothing(tmp_path: Path) -> None:
    assert lineage.of({"model": Input("train/rl", "checkpoint.hf", tmp_path / "none", "f" * 64, required=False)}) == ()
