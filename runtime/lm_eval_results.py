"""What lm-eval leaves (`raw/results_TIME.json`, `raw/samples_TASK_TIME.jsonl`) as a `scores` artifact.

Each task's accuracy is lm-eval's own value of the metric that the config names. It has to be the mean over the task's items, so
that a lost item, a second run in the folder or another metric is an error and no number.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.data.rows import read_rows, write_rows
from runtime.errors import JobError
from runtime.job import Job, write_json

RAW = "raw"
TOLERANCE = 1e-6
# A task's items are right or wrong; of those that score between 0 and 1 (truthfulqa_mc2), from here on they are right.
HALF = 0.5


def collect(job: Job) -> Mapping[str, Any]:
    """Write scores.json and items.jsonl from what lm-eval left in `job.out`; the facts are each task's accuracy."""
    wanted = job.config["metadata"]
    results = _results(job.out / RAW)
    scores: dict[str, Any] = {}
    items: list[dict[str, Any]] = []
    for task, metric in wanted["metrics"].items():
        found = list(_items(job.out / RAW, task, metric, results))
        scores[task] = _sum_up(task, metric, found, results)
        items += [{name: value for name, value in item.items() if name != "prompt_hash"} for item in found]
    (job.out / "checkpoint").unlink(missing_ok=True)  # the script's link to the model
    write_rows(job.out / "items.jsonl", items)
    write_json(job.out / "scores.json", {"suite": wanted["suite"], "version": wanted["version"], "tasks": scores})
    return {task: score["accuracy"] for task, score in scores.items()}


def leaves(task: str, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """The tasks with samples of their own below `task`, which may be a group of groups (mmlu)."""
    below = groups.get(task) or []
    return [leaf for name in below for leaf in leaves(name, groups)] if below else [task]


def _results(raw: Path) -> Mapping[str, Any]:
    files = sorted(raw.glob("results_*.json"))
    if len(files) != 1:
        raise JobError(f"{raw}: lm-eval left {len(files)} results files, not 1; see its messages above, and run the job again")
    results: Mapping[str, Any] = json.loads(files[0].read_text(encoding="utf-8"))
    return results


def _items(raw: Path, task: str, metric: str, results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The outcomes of one task, each with the hash of its prompt."""
    name, filtered = metric.split(",")
    for leaf in leaves(task, results.get("group_subtasks", {})):
        for sample in _samples(raw, leaf):
            if sample["filter"] != filtered:
                continue
            if name not in sample:
                raise JobError(f"task {task}: lm-eval gave no metric '{name}' to {leaf}; it has {', '.join(sample['metrics'])}")
            yield _item(task, leaf, float(sample[name]), sample)


def _samples(raw: Path, leaf: str) -> list[dict[str, Any]]:
    # A file's name ends in the time, which begins with a digit, so that `mmlu_x` does not match the files of `mmlu_x_y`.
    files = sorted(raw.glob(f"samples_{leaf}_[0-9]*.jsonl"))
    if len(files) != 1:
        raise JobError(f"{raw}: lm-eval left {len(files)} files of samples of {leaf}, not 1; run the job again")
    return read_rows(files[0])


def _item(task: str, leaf: str, score: float, sample: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "task": task,
        "id": str(sample["doc_id"]) if leaf == task else f"{leaf}/{sample['doc_id']}",
        "correct": score >= HALF,
        "score": score,
        "output": _output(sample["filtered_resps"]),
        "finished": None,  # lm-eval does not say whether an answer was cut off
        "prompt_hash": sample["prompt_hash"],
    }


def _output(responses: Sequence[Any]) -> str:
    """The generated text; for a choice, the log-likelihood of each as JSON."""
    first = responses[0] if responses else ""
    return first if isinstance(first, str) else json.dumps([float(response[0]) for response in responses])


def _sum_up(task: str, metric: str, items: Sequence[Mapping[str, Any]], results: Mapping[str, Any]) -> dict[str, Any]:
    accuracy = results["results"].get(task, {}).get(metric)
    if accuracy is None or not items:
        raise JobError(f"task {task}: lm-eval gave no '{metric}'; it has {', '.join(results['results'].get(task, {}))}")
    mean = sum(item["score"] for item in items) / len(items)
    if not math.isclose(mean, accuracy, abs_tol=TOLERANCE):
        raise JobError(f"task {task}: lm-eval's {metric} is {accuracy}, but its {len(items)} items have the mean {mean}")
    return {
        "n": len(items),
        "correct": sum(item["correct"] for item in items),
        "accuracy": accuracy,
        "prompt_hash": _hash(item["prompt_hash"] for item in items),
    }


def _hash(prompts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(prompts).encode()).hexdigest()[:16]
