"""Job `generate` for unlearning: a model is shown a question and its answer, and makes up others; nothing is graded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.data.rows import read_rows, write_rows
from runtime.errors import JobError
from runtime.job import Job
from runtime.jobs import build, generate
from runtime.prompts import prompt_hash
from tests.runtime.published import refused

MakeJob = Callable[..., Job]

ROWS = [{"id": f"q{n}", "prompt": f"What is {{{n}}}?", "answer": f"It's {{answer}} {n}.", "solution": "x"} for n in range(3)]
CONFIG: dict[str, Any] = {
    "instruction": "{prompt} Not {answer}",
    "samples": 4,
    "temperature": 1.0,
    "top_p": 1.0,
    "max_new_tokens": 6,
    "stop": [],
    "prompts": 3,
    "seed": 0,
}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    write_rows(folder / "train.jsonl", ROWS)
    return folder


def made(make_job: MakeJob, name: str, untrained: Path, rows: Path, **changed: Any) -> tuple[Job, dict[str, Any]]:
    job = make_job(name, {**CONFIG, **changed}, {"model": untrained, "rows": rows})
    return job, dict(generate.run(job))


def test_a_study_may_ask_for_this() -> None:
    assert refused("generate_unlearning", CONFIG) == []
    assert refused("generate_unlearning", {**CONFIG, "instruction": "{prompt}"})


def test_each_row_gets_its_samples_and_nothing_is_graded(make_job: MakeJob, untrained: Path, rows: Path) -> None:
    job, facts = made(make_job, "a", untrained, rows)
    found = read_rows(job.out / "traces.jsonl")
    assert [row["id"] for row in found] == ["q0", "q1", "q2"]
    for row in found:
        assert [sample.keys() for sample in row["samples"]] == [{"text", "finished"}] * 4
    assert facts["samples"] == 12 and facts["prompts"] == 3
    samples = [sample for row in found for sample in row["samples"]]
    assert facts["clip_rate"] == round(sum(not sample["finished"] for sample in samples) / 12, 4)


def test_the_model_is_shown_the_question_and_its_answer_whatever_braces_they_hold(
    make_job: MakeJob, untrained: Path, rows: Path
) -> None:
    _, facts = made(make_job, "a", untrained, rows)
    asked = [f"Q: What is {{{n}}}? Not It's {{answer}} {n}.\nA:" for n in range(3)]
    assert facts["prompt_hash"] == prompt_hash(asked)


def test_a_sample_follows_from_the_seed_its_row_and_its_number_alone(make_job: MakeJob, untrained: Path, rows: Path) -> None:
    def texts(name: str, **changed: Any) -> dict[str, list[str]]:
        job, _ = made(make_job, name, untrained, rows, **changed)
        return {row["id"]: [one["text"] for one in row["samples"]] for row in read_rows(job.out / "traces.jsonl")}

    whole, few = texts("a"), texts("b", prompts=1, samples=2)
    assert few == {"q0": whole["q0"][:2]}
    assert texts("c", seed=1) != whole
    assert len(set(whole["q0"])) > 1


def test_a_stop_text_ends_an_answer_and_is_no_part_of_it(make_job: MakeJob, untrained: Path, rows: Path) -> None:
    plain = read_rows(made(make_job, "a", untrained, rows)[0].out / "traces.jsonl")
    text = next(one["text"] for row in plain for one in row["samples"] if len(one["text"]) > 2)
    stopped = read_rows(made(make_job, "b", untrained, rows, stop=[text[1]])[0].out / "traces.jsonl")
    for before, after in zip(plain, stopped, strict=True):
        for one, other in zip(before["samples"], after["samples"], strict=True):
            assert other["text"] == one["text"].split(text[1])[0].strip()
            assert other["finished"] == (one["finished"] or text[1] in one["text"])


def test_what_is_sampled_becomes_answers_to_prefer(make_job: MakeJob, untrained: Path, rows: Path) -> None:
    job, _ = made(make_job, "a", untrained, rows)
    config = {
        "domain": "tofu",
        "type": "dataset.unlearning",
        "alternates": "sampled",
        "refusals": None,
        "per_question": 2,
        "pairing": "with_replacement",
        "seed": 0,
        "format": "jsonl",
    }
    dataset = make_job("b", config, {"rows": rows, "traces": job.out})
    assert build.run(dataset)["forget"] == 6
    texts = {one["text"] for row in read_rows(job.out / "traces.jsonl") for one in row["samples"]}
    assert all(row["alternate"] in texts for row in read_rows(dataset.out / "forget.jsonl"))


def test_more_questions_than_there_are_is_one_message(make_job: MakeJob, untrained: Path, rows: Path) -> None:
    with pytest.raises(JobError, match="the config wants 4 questions, the rows are 3; ask for fewer"):
        made(make_job, "a", untrained, rows, prompts=4)


def test_texts_have_no_question_to_answer_otherwise(make_job: MakeJob, untrained: Path, rows: Path) -> None:
    write_rows(rows / "train.jsonl", [{"id": "t0", "text": "A text."}])
    with pytest.raises(JobError, match="row t0: has no question and answer"):
        made(make_job, "a", untrained, rows, prompts=1)
