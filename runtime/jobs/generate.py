"""Job `generate`: a model's answers to a domain's training prompts, sampled and graded; failures are kept too.

Where an `instruction` asks for other answers than the right one, nothing is graded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.benchmarks import alternates
from runtime.engines import check_engine, open_engine
from runtime.errors import JobError
from runtime.graders import find_grader, grade_many
from runtime.graders.selftest import check_grader
from runtime.job import Job
from runtime.prompts import prompt_hash, render_prompt
from runtime.rows import read_split, write_rows
from runtime.sampling import Decoding, Sample, item_seed

BATCH = 512


def run(job: Job) -> Mapping[str, Any]:
    """Write traces.jsonl.

    The facts: the share of samples that pass, of prompts with any that does, of samples cut off at `max_new_tokens`.
    """
    config = job.config
    if "instruction" in config:
        return alternates.generate(job)
    check_engine(job)
    find_grader(config["grader"])
    rows = read_split(job.inputs["rows"].path, "train")[: config["prompts"]]
    if len(rows) < config["prompts"]:
        raise JobError(f"{job.id}: the config wants {config['prompts']} prompts, the rows are {len(rows)}; ask for fewer")
    check_grader(config["grader"], rows)
    answers, asked = _sample_all(job, rows)
    repeated = [row for row in rows for _ in range(config["samples"])]
    verdicts = grade_many(config["grader"], repeated, [answer.text for answer in answers])
    traces = _traces(rows, answers, verdicts, config["samples"])
    write_rows(job.out / "traces.jsonl", traces)
    return {**_count(traces), "prompt_hash": asked}


def _sample_all(job: Job, rows: Sequence[Mapping[str, Any]]) -> tuple[list[Sample], str]:
    """`samples` answers to each row, row after row, and the hash of the prompts as they were asked."""
    config, folder = job.config, job.inputs["model"].path
    copies = range(config["samples"])
    total = len(rows) * len(copies)
    with open_engine(job, folder) as engine:
        prompts = [render_prompt(row["prompt"], engine.tokenizer) for row in rows]
        answers = engine.draw(
            [prompt for prompt in prompts for _ in copies],
            [item_seed(config["seed"], row["id"], copy) for row in rows for copy in copies],
            Decoding(config["max_new_tokens"], config["temperature"], config["top_p"], BATCH),
            lambda done: job.progress(done, total),
        )
    return answers, prompt_hash(prompts)


def _traces(
    rows: Sequence[Mapping[str, Any]], answers: Sequence[Sample], verdicts: Sequence[bool], samples: int
) -> list[dict[str, Any]]:
    """Each row with its samples: `{"text", "correct", "finished"}`."""
    graded = [
        {"text": answer.text, "correct": correct, "finished": answer.finished}
        for answer, correct in zip(answers, verdicts, strict=True)
    ]
    return [{**row, "samples": graded[index * samples : (index + 1) * samples]} for index, row in enumerate(rows)]


def _count(traces: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    samples = [sample for trace in traces for sample in trace["samples"]]
    return {
        "prompts": len(traces),
        "samples": len(samples),
        "pass_rate": round(sum(sample["correct"] for sample in samples) / len(samples), 4),
        "any_pass_rate": round(sum(any(s["correct"] for s in trace["samples"]) for trace in traces) / len(traces), 4),
        "clip_rate": round(sum(not sample["finished"] for sample in samples) / len(samples), 4),
    }
