"""Other answers to the questions that are to be forgotten, made up by a model that is shown the right ones (AltPO)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from runtime.data.rows import Row, read_split, write_rows
from runtime.errors import JobError
from runtime.job import Job
from runtime.prompts import prompt_hash, render_prompt
from runtime.sampling import Decoding, Sample, item_seed
from runtime.sampling.engines import check_engine, open_engine

BATCH = 64
ANSWER, PROMPT = "{answer}", "{prompt}"


def generate(job: Job) -> dict[str, Any]:
    """Write traces.jsonl: each row with its samples, `{"text", "finished"}`.

    The facts: how many there are, the share cut off at `max_new_tokens`, and the share that say nothing, or what is right.
    """
    config = job.config
    check_engine(job)
    rows = read_split(job.inputs["rows"].path, "train")[: config["prompts"]]
    if len(rows) < config["prompts"]:
        raise JobError(f"{job.id}: the config wants {config['prompts']} questions, the rows are {len(rows)}; ask for fewer")
    asked = [_asked(config["instruction"], row) for row in rows]
    samples, hashed = _sample_all(job, rows, asked)
    traces = [
        {
            **row,
            "samples": [{"text": made.text, "finished": made.finished} for made in samples[start : start + config["samples"]]],
        }
        for start, row in zip(range(0, len(samples), config["samples"]), rows, strict=True)
    ]
    write_rows(job.out / "traces.jsonl", traces)
    useless = [sample["text"].strip() in ("", row["answer"].strip()) for row in traces for sample in row["samples"]]
    return {
        "prompts": len(rows),
        "samples": len(samples),
        "clip_rate": round(sum(not made.finished for made in samples) / len(samples), 4),
        "useless_rate": round(sum(useless) / len(useless), 4),
        "prompt_hash": hashed,
    }


def _asked(instruction: str, row: Row) -> str:
    """The instruction with the row's question and answer, whatever braces these have themselves."""
    if "prompt" not in row or "answer" not in row:
        raise JobError(
            f"row {row.get('id')}: has no question and answer, so nothing else can be answered; take another dataset"
        )
    before, after = instruction.split(PROMPT, 1)
    between, end = after.split(ANSWER, 1)
    return f"{before}{row['prompt']}{between}{row['answer']}{end}"


def _sample_all(job: Job, rows: Sequence[Row], asked: Sequence[str]) -> tuple[list[Sample], str]:
    """`samples` answers to each question, question after question, and the hash of the prompts as they were asked."""
    config, copies = job.config, range(job.config["samples"])
    done: dict[int, Sample] = {}

    def tell(batch: Mapping[int, Sample]) -> None:
        done.update(batch)
        job.progress(len(done), len(asked) * len(copies))

    with open_engine(job, job.inputs["model"].path) as engine:
        prompts = [render_prompt(text, engine.tokenizer) for text in asked]
        drawn = engine.draw(
            [prompt for prompt in prompts for _ in copies],
            [item_seed(config["seed"], row["id"], copy) for row in rows for copy in copies],
            Decoding(config["max_new_tokens"], config["temperature"], config["top_p"], BATCH),
            tell,
        )
    return [_stopped(sample, config["stop"]) for sample in drawn], prompt_hash(prompts)


def _stopped(sample: Sample, stop: Sequence[str]) -> Sample:
    """The sample up to the first of the texts that end an answer."""
    places = [place for place in (sample.text.find(text) for text in stop) if place >= 0]
    return replace(sample, text=sample.text[: min(places)].strip(), finished=True) if places else sample
