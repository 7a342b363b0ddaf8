"""Job `generate`: a model's answers to a domain's training prompts, sampled and graded; failures are kept too.

Every answer is written down as it is drawn (`drawn.jsonl`), so that a job that was killed goes on from there, to the same end.
Where an `instruction` asks for other answers than the right one, nothing is graded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.benchmarks import alternates
from runtime.data.rows import Row, read_split, write_rows
from runtime.errors import JobError
from runtime.graders import find_grader, grade_many
from runtime.graders.selftest import check_grader
from runtime.job import Job
from runtime.models import load_tokenizer
from runtime.prompts import prompt_form, prompt_hash, render_prompt
from runtime.sampling import Decoding, Sample, item_seed
from runtime.sampling.drawn import Drawn, open_ledger
from runtime.sampling.engines import check_engine, open_engine

BATCH = 512
LEDGER = "drawn.jsonl"


def run(job: Job) -> Mapping[str, Any]:
    """Write traces.jsonl.

    The facts: the share of samples that pass, of prompts with any that does, of samples cut off at `max_new_tokens`, and for
    how many there is no answer.
    """
    config = job.config
    if "instruction" in config:
        return alternates.generate(job)
    engine = check_engine(job)
    find_grader(config["grader"])
    rows = read_split(job.inputs["rows"].path, "train")[: config["prompts"]]
    if len(rows) < config["prompts"]:
        raise JobError(f"{job.id}: the config wants {config['prompts']} prompts, the rows are {len(rows)}; ask for fewer")
    check_grader(config["grader"], rows)
    tokenizer = load_tokenizer(job.inputs["model"].path)
    prompts = [render_prompt(row["prompt"], tokenizer) for row in rows]
    asked = prompt_hash(prompts)
    ledger = open_ledger(job.out / LEDGER, asked, rows, config["samples"], BATCH if engine == "transformers" else 1)
    answers = _sample_all(job, prompts, ledger)
    repeated = [row for row in rows for _ in range(config["samples"])]
    traces = _traces(rows, answers, grade_many(config["grader"], repeated, [answer.text for answer in answers]))
    write_rows(job.out / "traces.jsonl", traces)
    (job.out / LEDGER).unlink()
    facts = _count(traces)
    job.progress(len(answers), len(answers), **{name: facts[name] for name in ("pass_rate", "clip_rate")})
    return {**facts, "prompt_hash": asked, "prompt_form": prompt_form(tokenizer)}


def _sample_all(job: Job, prompts: Sequence[str], ledger: Drawn) -> list[Sample]:
    """`samples` answers to each prompt, prompt after prompt; only those that the ledger lacks are drawn. Raises JobError."""
    config, left, total = job.config, ledger.missing(), len(prompts) * ledger.samples
    if left and len(left) < total:
        print(f"{job.id}: {total - len(left)} of {total} answers are there from an earlier attempt", flush=True)

    def told(drawn: Mapping[int, Sample]) -> None:
        ledger.add({left[place]: answer for place, answer in drawn.items()})
        job.progress(len(ledger.answers), total)

    if left:
        names = [(ledger.rows[item // ledger.samples]["id"], item % ledger.samples) for item in left]
        with open_engine(job, job.inputs["model"].path) as engine:
            engine.draw_all(
                [prompts[item // ledger.samples] for item in left],
                [item_seed(config["seed"], *name) for name in names],
                Decoding(config["max_new_tokens"], config["temperature"], config["top_p"], BATCH),
                told,
            )
    answers = [ledger.answers[item] for item in range(total)]
    if all(answer.failed for answer in answers):
        raise JobError(answers[0].failed)
    return answers


def _traces(rows: Sequence[Row], answers: Sequence[Sample], verdicts: Sequence[bool]) -> list[dict[str, Any]]:
    """Each row with its samples: `{"text", "correct", "finished"}`, and `failed` with the reason where there is no answer."""
    graded = [
        {"text": answer.text, "correct": correct and not answer.failed, "finished": answer.finished}
        | ({"failed": answer.failed} if answer.failed else {})
        for answer, correct in zip(answers, verdicts, strict=True)
    ]
    samples = len(answers) // len(rows)
    return [{**row, "samples": graded[index * samples : (index + 1) * samples]} for index, row in enumerate(rows)]


def _count(traces: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    samples = [sample for trace in traces for sample in trace["samples"]]
    failures = sum("failed" in sample for sample in samples)
    return {
        "prompts": len(traces),
        "samples": len(samples),
        "pass_rate": round(sum(sample["correct"] for sample in samples) / len(samples), 4),
        "any_pass_rate": round(sum(any(s["correct"] for s in trace["samples"]) for trace in traces) / len(traces), 4),
        "clip_rate": round((sum(not sample["finished"] for sample in samples) - failures) / len(samples), 4),
        "failures": failures,
    }
