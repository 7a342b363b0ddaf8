"""Job `evaluate` measures one checkpoint on one suite and keeps every item's outcome."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.data.rows import read_rows, write_rows
from runtime.domains import make_rows
from runtime.errors import JobError
from runtime.job import Job
from runtime.jobs import evaluate, pretrain
from runtime.models import load_tokenizer
from runtime.prompts import prompt_hash, render_prompt

MakeJob = Callable[..., Job]

TASKS: list[dict[str, Any]] = [
    {"name": "math", "grader": "math", "items": 12},
    {"name": "safety", "grader": "refusal", "items": 9},
]
CONFIG: dict[str, Any] = {
    "suite": "micro",
    "version": 1,
    "tasks": TASKS,
    "max_new_tokens": 8,
    "temperature": 0.0,
    "seed": 0,
    "batch": 5,
}


@pytest.fixture
def inputs(tmp_path: Path, untrained: Path) -> dict[str, Path]:
    """The untrained model and the rows of both tasks; what is asked is also what is there to be learned."""
    folders = {"model": untrained}
    for name, source in (("math", "arithmetic"), ("safety", "refusal")):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        rows = make_rows(source, 12, 12, seed=0)[1]
        write_rows(folders[name] / "train.jsonl", rows)
        write_rows(folders[name] / "eval.jsonl", rows)
    return folders


def scores(folder: Path) -> Any:
    return json.loads((folder / "scores.json").read_text())


def test_scores_are_the_sums_of_the_items(make_job: MakeJob, inputs: dict[str, Path]) -> None:
    job = make_job("evaluate", CONFIG, inputs)
    facts = evaluate.run(job)
    found, items = scores(job.out), read_rows(job.out / "items.jsonl")
    assert (found["suite"], found["version"]) == ("micro", 1)
    assert len(items) == 21
    for task in TASKS:
        own = [item for item in items if item["task"] == task["name"]]
        score = found["tasks"][task["name"]]
        assert score["n"] == len(own) == task["items"]
        assert score["correct"] == sum(item["correct"] for item in own)
        assert score["accuracy"] == score["correct"] / score["n"] == facts[task["name"]]
        assert score["finished"] == sum(item["finished"] for item in own)


def test_items_are_the_first_evaluation_rows_with_what_the_model_wrote(make_job: MakeJob, inputs: dict[str, Path]) -> None:
    job = make_job("evaluate", CONFIG, inputs)
    evaluate.run(job)
    items = read_rows(job.out / "items.jsonl")
    assert [item["id"] for item in items[:12]] == [row["id"] for row in read_rows(inputs["math"] / "eval.jsonl")]
    assert all(item.keys() == {"task", "id", "correct", "output", "finished"} for item in items)


def test_the_prompt_hash_is_of_the_prompts_as_rendered_for_this_model(make_job: MakeJob, inputs: dict[str, Path]) -> None:
    job = make_job("evaluate", CONFIG, inputs)
    evaluate.run(job)
    tokenizer = load_tokenizer(inputs["model"])
    rendered = [render_prompt(row["prompt"], tokenizer) for row in read_rows(inputs["math"] / "eval.jsonl")]
    assert scores(job.out)["tasks"]["math"]["prompt_hash"] == prompt_hash(rendered)


def test_a_model_that_learned_the_answers_scores_them(make_job: MakeJob, inputs: dict[str, Path]) -> None:
    part = {"weight": 1.0, "rare": 1.0, "slips": 0.0, "column": "solution"}
    config = {"steps": 150, "batch": 24, "lr": 0.01, "warmup": 5, "seed": 0, "mixture": {"math": part, "safety": part}}
    config["model"] = {"architecture": "qwen3", "layers": 1, "hidden": 32, "heads": 2, "vocabulary": 300}
    learned = make_job("pretrain", config, {name: inputs[name] for name in ("math", "safety")})
    pretrain.run(learned)
    after = evaluate.run(make_job("after", CONFIG, {**inputs, "model": learned.out}))
    before = evaluate.run(make_job("before", CONFIG, inputs))
    assert min(after.values()) > 0.8
    assert max(before.values()) < 0.2


def test_the_same_config_writes_the_same_bytes(make_job: MakeJob, inputs: dict[str, Path]) -> None:
    written = []
    for name in ("a", "b"):
        job = make_job(name, {**CONFIG, "temperature": 1.0}, inputs)
        evaluate.run(job)
        written.append([(job.out / file).read_bytes() for file in ("scores.json", "items.jsonl")])
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"name": "qa", "grader": "qa", "items": 1}, "task 'qa' has no input of its name"),
        ({"name": "math", "grader": "math", "items": 13}, "task 'math' wants 13 items, its rows are 12"),
        ({"name": "math", "grader": "essay", "items": 1}, "grader: there is no 'essay'"),
    ],
)
def test_a_suite_that_cannot_be_run_says_why(
    make_job: MakeJob, inputs: dict[str, Path], task: dict[str, Any], said: str
) -> None:
    with pytest.raises(JobError, match=said):
        evaluate.run(make_job("evaluate", {**CONFIG, "tasks": [task]}, inputs))
