"""Privileged-information distillation on a toy model: it learns what is rewarded, and goes on after a stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from runtime.data.rows import read_rows
from runtime.errors import EndedEarly, JobError
from runtime.graders import grade_many
from runtime.job import Job
from runtime.jobs import train
from runtime.models import load_model, load_tokenizer
from runtime.prompts import render_prompt
from runtime.sampling import Decoding, sample
from runtime.train.pi_distill import PiDistillConfig
from runtime.train.rounds import Asked, sample_round, scores
from tests.runtime.toys import WORDS, Rows, Values, changed, interrupted, same, train_job, untrained

HINT = "hint: {privileged}\n"
ROWS: Rows = [
    {"id": f"y{word}{number}", "prompt": f"is it {word} {number}", "privileged": "yes", "answer": "yes"}
    for word in WORDS
    for number in range(2)
]
PI: Values = {
    "backend": "native", "algorithm": "pi_distill", "seed": 0, "batch_size": 4, "model_dtype": "float32", "longest": 64,
    "overlong": "error", "grader": "qa", "demonstration": HINT, "execution": {"logging_steps": 1},
    "args": {"learning_rate": 3e-3, "lr_scheduler_type": "constant", "max_steps": 4, "bf16": False, "fp16": False,
             "group_size": 4,
             "updates_per_round": 2, "max_answer_tokens": 8, "temperature": 1.0, "kl_coef": 0.05, "alpha_start": 0.5},
}  # fmt: skip


@pytest.fixture(scope="module")
def torn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers every question, with a hint and without, with "yes" or "no" by about equal odds."""
    folder = tmp_path_factory.mktemp("torn")
    asked = [text for row in ROWS for text in (row["prompt"], HINT.replace("{privileged}", "yes") + row["prompt"])]
    rows = [{"id": f"{n}{word}", "prompt": text, "completion": word} for n, text in enumerate(asked) for word in ("yes", "no")]
    sft = {"backend": "trl", "algorithm": "sft", "seed": 0, "batch_size": 16, "model_dtype": "float32", "longest": 64,
    "overlong": "error",
           "args": {"learning_rate": 5e-3, "lr_scheduler_type": "constant", "max_steps": 60, "bf16": False,
                    "fp16": False}}  # fmt: skip
    train.run(train_job(sft, rows, folder, "out", {"start": untrained(folder / "start")}))
    return folder / "out"


@pytest.fixture
def make(torn: Path, tmp_path: Path) -> Callable[..., Job]:
    def job(config: Values, rows: Rows = ROWS, out: str = "out") -> Job:
        return train_job(config, rows, tmp_path, out, {"start": torn})

    return job


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_a_student_who_sees_no_hint_comes_to_be_right(alpha: float, make: Callable[..., Job], torn: Path) -> None:
    job = make(changed(PI, max_steps=24, alpha_start=alpha, alpha_end=alpha))
    assert train.run(job)["steps"] == 24
    assert right(job.out) > right(torn) + 0.15


@pytest.mark.parametrize("estimator", ["rao_blackwell", "sampled"])
def test_a_student_comes_to_be_right_on_its_own_answers(estimator: str, make: Callable[..., Job], torn: Path) -> None:
    job = make(changed(PI, max_steps=24, objective="opsd", kl_estimator=estimator))
    assert train.run(job)["steps"] == 24
    assert right(job.out) > right(torn) + 0.15


def test_a_teacher_who_sees_one_does_too(make: Callable[..., Job]) -> None:
    job = make(changed(PI, max_steps=24, alpha_start=1.0, alpha_end=1.0))
    train.run(job)
    rewards = [entry["reward"] for entry in read_rows(job.out / "train_log.jsonl") if "reward" in entry]
    assert sum(rewards[-8:]) > sum(rewards[:4]) * 2 + 0.8


def test_a_rounds_numbers_are_those_of_the_model_run_by_hand(torn: Path) -> None:
    model, tokenizer = load_model(torn, torch.device("cpu")), load_tokenizer(torn)
    asked = [Asked(*(render_prompt(hint + row["prompt"], tokenizer) for hint in ("hint: yes\n", "")), json.dumps(row))
             for row in (ROWS[0], ROWS[9])]  # fmt: skip
    args = PiDistillConfig(
        output_dir="unused", use_cpu=True, seed=3, group_size=3, max_answer_tokens=8, temperature=0.7, kl_coef=0.5
    )
    made = sample_round(model, tokenizer, asked, "qa", args, 0, 2)
    assert made.tokens.shape[0] == 6
    for place in range(6):
        one = asked[place // 3]
        answer = made.tokens[place][made.mask[place].bool()].tolist()
        both = [by_hand(model, tokenizer(text)["input_ids"], answer, 0.7) for text in (one.prompt, one.asked)]
        own = both[0][range(len(answer)), answer]
        assert torch.allclose(made.sampled[place][: len(answer)], own, atol=1e-4)
        assert made.kl[place].item() == pytest.approx(float((both[0].exp() * (both[0] - both[1])).sum()), abs=1e-4)
        text, ended = tokenizer.decode(answer, skip_special_tokens=True).strip(), answer[-1] == tokenizer.eos_token_id
        assert made.rewards[place].item() == float(text == "yes" and ended)
    worth = (made.rewards - 0.5 * made.kl).view(2, 3)
    assert torch.allclose(made.teacher_advantages.view(2, 3), worth - worth.mean(1, keepdim=True), atol=1e-5)
    again = sample_round(model, tokenizer, asked, "qa", args, 0, None)
    assert torch.equal(again.tokens, made.tokens) and torch.allclose(again.kl, made.kl, atol=1e-4)
    pieces = [scores(model, piece, tokenizer.pad_token_id, 0.7)[0] for piece in made.pieces(4)]
    assert [len(piece) for piece in pieces] == [4, 2]


@pytest.mark.parametrize("estimator", ["rao_blackwell", "sampled"])
def test_a_round_of_the_students_own_is_asked_and_scored_as_the_student(estimator: str, torn: Path) -> None:
    model, tokenizer = load_model(torn, torch.device("cpu")), load_tokenizer(torn)
    asked = [Asked(*(render_prompt(hint + row["prompt"], tokenizer) for hint in ("hint: yes\n", "")), json.dumps(row))
             for row in (ROWS[0], ROWS[9])]  # fmt: skip
    args = PiDistillConfig(
        output_dir="unused", use_cpu=True, seed=3, group_size=3, max_answer_tokens=8, kl_coef=0.5, objective="opsd",
        kl_estimator=estimator,
    )  # fmt: skip
    made = sample_round(model, tokenizer, asked, "qa", args, 0, None)
    alone = sample_round(model, tokenizer, [Asked(one.asked, one.asked, one.row) for one in asked], "qa", args, 0, None)
    assert torch.equal(made.tokens, alone.tokens)  # whatever the teacher is shown
    for place in range(6):
        answer = made.tokens[place][made.mask[place].bool()].tolist()
        one = asked[place // 3]
        teacher, student = (by_hand(model, tokenizer(text)["input_ids"], answer, 1.0) for text in (one.prompt, one.asked))
        own = range(len(answer)), answer
        assert torch.allclose(made.sampled[place][: len(answer)], student[own], atol=1e-4)
        each = student[own] - teacher[own] if estimator == "sampled" else (student.exp() * (student - teacher)).sum(-1)
        assert made.kl[place].item() == pytest.approx(float(each.sum()), abs=1e-4)
    worth = (made.rewards - (0.5 * made.kl if estimator == "sampled" else 0)).view(2, 3)
    assert torch.allclose(made.student_advantages.view(2, 3), worth - worth.mean(1, keepdim=True), atol=1e-5)


def test_the_micro_batch_does_not_change_what_is_learned(make: Callable[..., Job]) -> None:
    jobs = [make({**PI, "execution": {"micro_batch_size": micro}}, out=f"of-{micro}") for micro in (None, 3)]
    for job in jobs:
        train.run(job)
    one, other = (load_model(job.out, torch.device("cpu")).state_dict() for job in jobs)
    assert all(torch.allclose(one[name], other[name], atol=2e-3) for name in one)


@pytest.mark.parametrize("updates", [1, 3, 4])
def test_a_job_that_was_stopped_goes_on_as_if_it_had_not(updates: int, make: Callable[..., Job]) -> None:
    """Stopped after two steps: between two rounds, or with updates of a round still to come."""
    config = changed(PI, max_steps=5, updates_per_round=updates)
    whole, job = make(config, out="whole"), make(config)
    train.run(whole)
    with pytest.raises(EndedEarly, match="stopped at step 2 of 5"):
        train.run(interrupted(job))
    assert sorted(path.name for path in (job.out / "checkpoints").iterdir()) == ["checkpoint-2", "round-2.0.pt"]
    assert train.run(job)["steps"] == 5
    assert same(job.out, whole.out)


def test_a_checkpoint_without_its_round_is_none_to_go_on_from(make: Callable[..., Job]) -> None:
    job = make(changed(PI, max_steps=5))
    with pytest.raises(EndedEarly):
        train.run(interrupted(job))
    (job.out / "checkpoints/round-2.0.pt").unlink()
    with pytest.raises(JobError, match=r"round-2\.0\.pt is missing"):
        train.run(job)


def test_steps_are_kept_and_the_seed_decides(make: Callable[..., Job]) -> None:
    jobs = [
        make({**PI, "seed": seed, "execution": {"keep": [2]}}, out=name)
        for name, seed in (("one", 1), ("two", 1), ("three", 2))
    ]
    for job in jobs:
        assert train.run(job)["kept"] == [2]
    assert same(jobs[0].out, jobs[1].out) and same(jobs[0].out / "steps/2", jobs[1].out / "steps/2")
    assert not same(jobs[0].out, jobs[2].out) and not same(jobs[0].out / "steps/2", jobs[0].out)


def test_groups_that_are_all_right_or_all_wrong_teach_nothing(make: Callable[..., Job], torn: Path) -> None:
    rows = [{**row, "answer": "north", "privileged": "north"} for row in ROWS]
    job = make(changed(PI, max_steps=2, drop_uniform_groups=True), rows)
    assert train.run(job)["frac_reward_zero_std"] == 1
    assert same(job.out, torn)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({**PI, "grader": None}, "needs a grader"),
        ({**PI, "demonstration": "look"}, "a demonstration that holds {privileged}"),
        ({**PI, "longest": 8}, "16 of 16 rows are longer than 8 tokens"),
        (changed(PI, alpha=1.0), "there is no 'alpha'"),
        (changed(PI, objective="rl"), "objective: there is no 'rl'; there are pi_distill, opsd"),
    ],
)
def test_a_mistake_is_one_message(config: Values, message: str, make: Callable[..., Job]) -> None:
    with pytest.raises(JobError, match=message):
        train.run(make(config))


def right(folder: Path) -> float:
    """The share of right answers among those that a model samples to the bare questions, eight to each."""
    model, tokenizer = load_model(folder, torch.device("cpu")), load_tokenizer(folder)
    asked = [row for row in ROWS for _ in range(8)]
    prompts = [render_prompt(row["prompt"], tokenizer) for row in asked]
    found = sample(model, tokenizer, prompts, list(range(len(prompts))), Decoding(8, 1.0))
    verdicts = grade_many("qa", asked, [one.text for one in found])
    return sum(one.finished and verdict for one, verdict in zip(found, verdicts, strict=True)) / len(asked)


def by_hand(model: object, prompt: list[int], answer: list[int], temperature: float) -> torch.Tensor:
    """Log-probabilities of every token at each place of the answer, (answer, vocabulary)."""
    with torch.no_grad():
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]  # type: ignore[operator]
    return (logits / temperature).log_softmax(-1)
