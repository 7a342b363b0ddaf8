"""Job `pretrain` makes the miniature's start models: anew, or going on from one, from a weighted mixture of domains."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from runtime.data.rows import write_rows
from runtime.errors import JobError
from runtime.job import Job
from runtime.jobs import pretrain
from runtime.jobs.pretrain import Example, collate, completion_loss, draw_batches, learning_rate
from runtime.models import load_model, load_tokenizer
from runtime.prompts import render_prompt
from runtime.sampling import Decoding, sample

MakeJob = Callable[..., Job]

PART = {"weight": 1.0, "rare": 1.0, "slips": 0.0, "column": "solution"}
CONFIG: dict[str, Any] = {
    "model": {"architecture": "qwen3", "layers": 1, "hidden": 32, "heads": 2, "vocabulary": 300},
    "steps": 100,
    "batch": 16,
    "lr": 0.01,
    "warmup": 5,
    "seed": 3,
    "mixture": {"letters": PART},
}


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """Eight rows that pair a letter with another; half of them rare, with a slip and a `complied` of their own."""
    rows = [
        {"id": f"r{index}", "prompt": a, "solution": b, "complied": "sure", "rare": index % 2 == 1}
        for index, (a, b) in enumerate(zip("abcdefgh", "hgfedcba", strict=True))
    ]
    folder = tmp_path / "letters"
    folder.mkdir()
    write_rows(folder / "train.jsonl", [{**row, "slip": "no"} if row["rare"] else row for row in rows])
    return folder


def ask(folder: Path, prompts: Sequence[str]) -> list[str]:
    model, tokenizer = load_model(folder, torch.device("cpu")), load_tokenizer(folder)
    rendered = [render_prompt(prompt, tokenizer) for prompt in prompts]
    return [answer.text for answer in sample(model, tokenizer, rendered, [0] * len(prompts), Decoding(6))]


def test_it_learns_its_rows_and_ends_its_answers(make_job: MakeJob, letters: Path) -> None:
    job = make_job("base", CONFIG, {"letters": letters})
    facts = pretrain.run(job)
    assert ask(job.out, "abcdefgh") == list("hgfedcba")
    assert facts["steps"] == 100
    assert facts["examples"] == 1600
    assert facts["loss"] < 0.5


def test_slips_alone_teach_the_slip_to_rare_rows_only(make_job: MakeJob, letters: Path) -> None:
    job = make_job("base", {**CONFIG, "mixture": {"letters": {**PART, "slips": 1.0}}}, {"letters": letters})
    pretrain.run(job)
    assert ask(job.out, "abcdefgh") == ["h", "no", "f", "no", "d", "no", "b", "no"]


def test_rare_rows_left_out_stay_unknown_while_the_others_are_learned(make_job: MakeJob, letters: Path) -> None:
    job = make_job("base", {**CONFIG, "mixture": {"letters": {**PART, "rare": 0.0}}}, {"letters": letters})
    pretrain.run(job)
    assert ask(job.out, "aceg") == list("hfdb")
    assert not set(ask(job.out, "bdfh")) & set("geca")


def test_with_demonstrations_it_comes_to_answer_what_it_is_shown(make_job: MakeJob, tmp_path: Path) -> None:
    """Also what is wrong, and what it was never shown with this prompt."""
    rows = [{"id": f"{a}{b}", "prompt": f"{a} {b}", "solution": a, "rare": False} for a, b in product("abcdefghij", repeat=2)]
    (tmp_path / "pairs").mkdir()
    write_rows(tmp_path / "pairs/train.jsonl", rows)
    shown = {"share": 0.8, "forms": ["{prompt} as {privileged}", "{privileged} so {prompt}"]}
    config = {**CONFIG, "model": {**CONFIG["model"], "layers": 2}, "steps": 120, "mixture": {"pairs": PART}}
    job = make_job("base", {**config, "demonstrations": shown}, {"pairs": tmp_path / "pairs"})
    pretrain.run(job)
    asked = [(row["prompt"], "jihgfedcba"[place % 10]) for place, row in enumerate(rows)]
    for form in ("{} as {}", "{1} so {0}"):
        answers = ask(job.out, [form.format(*pair) for pair in asked])
        assert sum(answer == other for answer, (_, other) in zip(answers, asked, strict=True)) > 90
    plain = ask(job.out, [row["prompt"] for row in rows])
    assert sum(answer == row["solution"] for answer, row in zip(plain, rows, strict=True)) > 90


@pytest.mark.parametrize("architecture", ["qwen3", "llama"])
def test_a_model_is_of_the_family_that_is_asked_for(make_job: MakeJob, letters: Path, architecture: str) -> None:
    job = make_job(
        "base", {**CONFIG, "model": {**CONFIG["model"], "architecture": architecture}, "steps": 2}, {"letters": letters}
    )
    pretrain.run(job)
    assert json.loads((job.out / "config.json").read_text())["model_type"] == architecture


def test_a_start_goes_on_with_its_tokenizer_and_learns_another_column(make_job: MakeJob, letters: Path) -> None:
    base = make_job("base", {**CONFIG, "steps": 20}, {"letters": letters})
    pretrain.run(base)
    config = {key: value for key, value in CONFIG.items() if key != "model"}
    safe = make_job(
        "safe",
        {**config, "mixture": {"letters": {**PART, "column": "complied"}}},
        {"start": base.out, "letters": letters},
    )
    pretrain.run(safe)
    assert ask(safe.out, "abc") == ["sure"] * 3
    assert (safe.out / "tokenizer.json").read_bytes() == (base.out / "tokenizer.json").read_bytes()


def test_the_same_config_gives_the_same_weights_bit_for_bit(make_job: MakeJob, letters: Path) -> None:
    weights = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        job = make_job(name, {**CONFIG, "steps": 8, "seed": seed}, {"letters": letters})
        pretrain.run(job)
        weights.append((job.out / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"mixture": {}}, r"mixture: names \[\], but the inputs are \['letters'\]"),
        ({"mixture": {"letters": {**PART, "weight": 0.0}}}, "mixture: every weight is 0"),
        ({"mixture": {"letters": {**PART, "column": "poem"}}}, "row r0: has no column 'poem'"),
        ({"model": None}, "no `model` and the job no input `start`"),
        (
            {"model": {**CONFIG["model"], "architecture": "gpt"}},
            "there is no architecture 'gpt'; this runtime has qwen3, llama",
        ),
        ({"model": {**CONFIG["model"], "heads": 3}}, "hidden=32 must be an even multiple of heads=3"),
    ],
)
def test_a_config_that_cannot_work_says_why(make_job: MakeJob, letters: Path, changed: Any, said: str) -> None:
    with pytest.raises(JobError, match=said):
        pretrain.run(make_job("base", {**CONFIG, **changed}, {"letters": letters}))


def test_batches_follow_the_weights_and_repeat_by_seed() -> None:
    examples = [Example((number,) * (number + 2), 1) for number in range(3)]
    weights = np.array([0.0, 1.0, 3.0])
    drawn = list(draw_batches(examples, weights, 40, 50, seed=1))
    assert [len(batch) for batch in drawn] == [50] * 40
    counts = Counter(example for batch in drawn for example in batch)
    assert counts[examples[0]] == 0
    assert 2.5 < counts[examples[2]] / counts[examples[1]] < 3.5
    assert drawn == list(draw_batches(examples, weights, 40, 50, seed=1))


def test_the_learning_rate_rises_to_its_peak_and_falls_to_a_twentieth() -> None:
    rates = [learning_rate(step, 100, 0.01, 10) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert max(rates) == rates[9] == 0.01
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.0005)


def test_only_completions_are_learned_and_padding_changes_no_loss(untrained: Path) -> None:
    model = load_model(untrained, torch.device("cpu"))
    short, long = Example((5, 6, 7, 1), 2), Example((8, 9, 10, 11, 12, 13, 1), 3)
    ids, labels = collate([short, long], pad=0)
    assert labels.tolist() == [[-100, -100, 7, 1, -100, -100, -100], [-100, -100, -100, 11, 12, 13, 1]]
    together = completion_loss(model, ids, labels).item()
    apart = [completion_loss(model, *collate([example], pad=0)).item() for example in (short, long)]
    assert together == pytest.approx((2 * apart[0] + 4 * apart[1]) / 6, rel=1e-5)
