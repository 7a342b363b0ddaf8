"""Sampling: what a prompt gets depends on its text, its seed and the model, not on its company."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runtime.models import load_model, load_tokenizer
from runtime.sampling import Decoding, Sample, choose_tokens, item_seed, sample

PROMPTS = ["Q: 1\nA:", "Q: What is 12+34=?\nA:", "Q: 7\nA:", "Q: a longer one of 99\nA:"]
SEEDS = [11, 12, 13, 14]


@pytest.fixture(scope="module")
def model(untrained: Path) -> Any:
    return load_model(untrained, torch.device("cpu"))


@pytest.fixture(scope="module")
def tokenizer(untrained: Path) -> Any:
    return load_tokenizer(untrained)


def test_greedy_text_is_what_transformers_generates(model: Any, tokenizer: Any) -> None:
    for prompt, answer in zip(PROMPTS, sample(model, tokenizer, PROMPTS, SEEDS, Decoding(8)), strict=True):
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        generated = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
        assert answer.text == tokenizer.decode(generated[0, ids.shape[1] :], skip_special_tokens=True).strip()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_neighbours_order_and_batch_size_change_nothing(model: Any, tokenizer: Any, temperature: float) -> None:
    together = sample(model, tokenizer, PROMPTS, SEEDS, Decoding(8, temperature))
    alone = sample(model, tokenizer, PROMPTS, SEEDS, Decoding(8, temperature, batch=1))
    backwards = sample(model, tokenizer, PROMPTS[::-1], SEEDS[::-1], Decoding(8, temperature, batch=3))
    assert together == alone == backwards[::-1]


def test_a_seed_decides_a_sample(model: Any, tokenizer: Any) -> None:
    decoding = Decoding(8, temperature=1.0)
    first = sample(model, tokenizer, PROMPTS[:1] * 2, [1, 2], decoding)
    assert first == sample(model, tokenizer, PROMPTS[:1] * 2, [1, 2], decoding)
    assert first[0] != first[1]


def test_an_answer_is_finished_only_when_the_model_ended_it(model: Any, tokenizer: Any) -> None:
    answers = sample(model, tokenizer, PROMPTS * 100, list(range(400)), Decoding(12, temperature=1.5))
    ended = [answer for answer in answers if answer.finished]
    cut_off = [answer for answer in answers if not answer.finished]
    assert ended
    assert cut_off
    longer = sample(model, tokenizer, PROMPTS * 100, list(range(400)), Decoding(12, temperature=1.5, batch=7))
    assert longer == answers
    assert not any("<|" in answer.text for answer in answers)


def test_each_batch_is_told_as_it_is_drawn_and_without_the_first_the_others_stay_the_same(model: Any, tokenizer: Any) -> None:
    told: list[dict[int, Sample]] = []
    answers = sample(
        model, tokenizer, PROMPTS, SEEDS, Decoding(2, 1.0, batch=3), on_batch=lambda drawn: told.append(dict(drawn))
    )
    assert [len(drawn) for drawn in told] == [3, 1]
    assert told[0] | told[1] == dict(enumerate(answers))
    left = sorted(told[1])
    again: list[dict[int, Sample]] = []
    sample(model, tokenizer, [PROMPTS[place] for place in left], [SEEDS[place] for place in left], Decoding(2, 1.0, batch=3),
           on_batch=lambda drawn: again.append(dict(drawn)))  # fmt: skip
    assert [list(drawn.values()) for drawn in again] == [list(told[1].values())]


def test_item_seeds_differ_by_every_part_of_the_name() -> None:
    seeds = {item_seed(0, "a", 1), item_seed(1, "a", 1), item_seed(0, "b", 1), item_seed(0, "a", 2), item_seed(0, "a1")}
    assert len(seeds) == 5
    assert item_seed(0, "a", 1) in seeds


def test_tokens_are_drawn_in_proportion_to_their_probability() -> None:
    probabilities = torch.tensor([0.5, 0.1, 0.4])
    grid = (torch.arange(1000) + 0.5) / 1000
    drawn = choose_tokens(probabilities.log().repeat(1000, 1), grid, 1.0, 1.0)
    assert torch.bincount(drawn, minlength=3).tolist() == [500, 100, 400]


def test_a_nucleus_leaves_out_the_tail_and_keeps_at_least_the_likeliest() -> None:
    logits = torch.tensor([0.5, 0.1, 0.4]).log().repeat(1000, 1)
    grid = (torch.arange(1000) + 0.5) / 1000
    assert set(choose_tokens(logits, grid, 1.0, 0.8).tolist()) == {0, 2}
    assert set(choose_tokens(logits, grid, 1.0, 0.01).tolist()) == {0}


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=9), st.floats(0, 1, exclude_max=True), st.floats(0.01, 1))
def test_a_drawn_token_is_always_one_of_the_vocabulary(logits: list[float], uniform: float, top_p: float) -> None:
    token = choose_tokens(torch.tensor([logits]), torch.tensor([uniform]), 1.0, top_p)
    assert 0 <= int(token) < len(logits)
