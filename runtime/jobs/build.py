"""Job `build`: what a stage trains on, from a domain's rows and, where the method wants sampled answers, from traces.

Inputs: `rows` (dataset.rows) or `traces`, and for `truth_vs_own` where wanted `traces_before`, the answers of the round before.
Writes `data.jsonl`, or for VeRL `train.parquet` in VeRL's columns; a dataset.unlearning has files of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runtime.benchmarks import pairs
from runtime.data import selection
from runtime.data.datasets import write_dataset
from runtime.data.rows import read_rows, read_split
from runtime.data.selection import Selection
from runtime.errors import JobError
from runtime.job import Job

# What each kind of dataset takes from which input: (type, keep) -> (input, rule).
Rule = Callable[[list[dict[str, Any]], Mapping[str, Any]], Selection]
RULES: Mapping[tuple[str, str], tuple[str, Rule]] = {
    ("dataset.sft", "all"): ("rows", lambda rows, config: selection.supervised(rows)),
    ("dataset.sft", "first_correct"): ("traces", lambda traces, config: selection.first_correct(traces)),
    ("dataset.sft", "at_least"): (
        "traces",
        lambda traces, config: selection.at_least(traces, config["least"], config["per_question"]),
    ),
    ("dataset.sft", "balanced"): ("traces", lambda traces, config: selection.balanced(traces, config["per_question"])),
    ("dataset.preference", "correct_vs_incorrect"): (
        "traces",
        lambda traces, config: selection.correct_vs_incorrect(traces, config["per_question"], config["seed"]),
    ),
    ("dataset.preference", "truth_vs_own"): (
        "traces",
        lambda traces, config: selection.truth_vs_own(traces, config["per_question"], config["seed"]),
    ),
    ("dataset.rl", "all"): ("rows", lambda rows, config: selection.prompts(rows)),
    ("dataset.privileged", "all"): ("rows", lambda rows, config: selection.privileged_solution(rows)),
    ("dataset.privileged", "first_correct"): ("traces", lambda traces, config: selection.privileged_trace(traces)),
}


def run(job: Job) -> Mapping[str, Any]:
    """Write the dataset. Raises JobError when no row is left, with the reasons for which questions were dropped."""
    config = job.config
    if config["type"] == "dataset.unlearning":
        return pairs.build(job)
    source, rule = find_rule(config["type"], config["keep"])
    questions = _read(job, source)
    selected = selection.limited(rule(questions, config), config["limit"], config["seed"])
    if not selected.rows:
        why = "; ".join(f"{reason}: {count}" for reason, count in selected.dropped.items())
        raise JobError(f"{job.id}: none of {len(questions)} questions gave a row ({why}); sample more, or change keep")
    write_dataset(job.out, selected.rows, config["type"], config["format"], config["domain"])
    job.progress(len(questions), len(questions), rows=len(selected.rows))
    return {"questions": len(questions), "rows": len(selected.rows), "dropped": dict(selected.dropped)}


def find_rule(type_: str, keep: str) -> tuple[str, Rule]:
    """The input and the rule for a dataset type and its `keep`; raises JobError that lists those there are."""
    if (type_, keep) not in RULES:
        there_are = ", ".join(f"{known} with {rule}" for known, rule in RULES)
        raise JobError(f"build: there is no rule for {type_} with keep {keep!r}; this runtime has {there_are}")
    return RULES[type_, keep]


def _read(job: Job, source: str) -> list[dict[str, Any]]:
    if source not in job.inputs:
        raise JobError(f"{job.id}: keep {job.config['keep']!r} reads the input {source!r}, and the job has none of that name")
    folder = job.inputs[source].path
    if source == "rows":
        return read_split(folder, "train")
    before = _samples(job.inputs["traces_before"].path) if "traces_before" in job.inputs else {}
    return [{**trace, "samples_before": before.get(trace["id"], [])} for trace in read_rows(folder / "traces.jsonl")]


def _samples(folder: Path) -> dict[Any, list[dict[str, Any]]]:
    """The samples of other traces, by the question's id."""
    return {trace["id"]: trace["samples"] for trace in read_rows(folder / "traces.jsonl")}
