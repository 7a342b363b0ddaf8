"""Job `evaluate`: one suite on one checkpoint. Every item's outcome is kept beside the sums.

A divergence is measured by runtime/divergence/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.data.rows import read_split, write_rows
from runtime.divergence import measure
from runtime.errors import JobError
from runtime.graders import find_grader, grade_many
from runtime.job import Job, write_json
from runtime.models import hardware
from runtime.prompts import prompt_form, prompt_hash, render_prompt
from runtime.sampling import Decoding, item_seed
from runtime.sampling.engines import Engine, check_engine, open_engine

MODEL = "model"
BATCH = 512  # where the engine makes its own batches, it is not read


def run(job: Job) -> Mapping[str, Any]:
    """Write scores.json and items.jsonl; the facts are each task's accuracy, or each metric's value (runtime/metrics/)."""
    if "metrics" in job.config:
        from runtime.metrics import run as unlearning

        return unlearning.run(job)
    if "divergence" in job.config:
        return measure.run(job)
    tasks = job.config["tasks"]
    check_engine(job)
    _check_inputs(job)
    scores: dict[str, dict[str, Any]] = {}
    items: list[dict[str, Any]] = []
    with open_engine(job, job.inputs[MODEL].path) as engine:
        for task in tasks:
            graded, asked = _run_task(job, task, engine)
            items += graded
            scores[task["name"]] = _sum_up(graded, asked)
            job.progress(len(scores), len(tasks), **{task["name"]: scores[task["name"]]["accuracy"]})
    write_rows(job.out / "items.jsonl", items)
    write_json(job.out / "scores.json", {**_circumstances(job, engine), "tasks": scores})
    return {name: score["accuracy"] for name, score in scores.items()}


def _circumstances(job: Job, engine: Engine) -> dict[str, Any]:
    """What was measured, and where: scores of other hardware or precision are no measurement of the same thing."""
    return {
        "suite": job.config["suite"],
        "version": job.config["version"],
        "model_fingerprint": job.inputs[MODEL].fingerprint,
        "prompt_form": prompt_form(engine.tokenizer),
        "dtype": engine.dtype,
        "hardware": hardware(),
    }


def _check_inputs(job: Job) -> None:
    for task in job.config["tasks"]:
        find_grader(task["grader"])
        if task["name"] not in job.inputs:
            raise JobError(f"{job.id}: task {task['name']!r} has no input of its name; there are {sorted(job.inputs)}")


def _run_task(job: Job, task: Mapping[str, Any], engine: Engine) -> tuple[list[dict[str, Any]], str]:
    """The outcomes of a task's first `items` evaluation rows, and the hash of the prompts they were asked with."""
    config, name = job.config, task["name"]
    rows = read_split(job.inputs[name].path, "eval")[: task["items"]]
    if len(rows) < task["items"]:
        raise JobError(f"{job.id}: task {name!r} wants {task['items']} items, its rows are {len(rows)}; ask for fewer")
    prompts = [render_prompt(row["prompt"], engine.tokenizer) for row in rows]
    decoding = Decoding(config["max_new_tokens"], config["temperature"], batch=config.get("batch", BATCH))
    seeds = [item_seed(config["seed"], name, row["id"]) for row in rows]
    answers = engine.draw(prompts, seeds, decoding, lambda done: None)
    verdicts = grade_many(task["grader"], rows, [answer.text for answer in answers])
    graded = [
        {"task": name, "id": row["id"], "correct": correct, "output": answer.text, "finished": answer.finished}
        for row, answer, correct in zip(rows, answers, verdicts, strict=True)
    ]
    return graded, prompt_hash(prompts)


def _sum_up(graded: list[dict[str, Any]], asked: str) -> dict[str, Any]:
    correct = sum(item["correct"] for item in graded)
    return {
        "n": len(graded),
        "correct": correct,
        "accuracy": correct / len(graded),
        "finished": sum(item["finished"] for item in graded),
        "prompt_hash": asked,
    }
