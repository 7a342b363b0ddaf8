"""The one forward pass, the gradients, and the tokens that both read, against the obvious computation of one sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runtime.metrics import forward
from runtime.metrics.encode import Encoder, Scored, behind_prefix
from runtime.metrics.forward import Kept, reduce_logits, score
from runtime.metrics.gradients import gradient_norm
from runtime.models import load_model, load_tokenizer
from runtime.prompts import first_token
from tests.runtime.forgetting import make_model, muse, tofu

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In float64, so that what is compared differs by rounding alone."""
    return make_model(tmp_path_factory.mktemp("learned"), steps=20)


@pytest.fixture(scope="module")
def model(learned: Path) -> Any:
    return load_model(learned, CPU).double()


@pytest.fixture(scope="module")
def encoder(learned: Path) -> Encoder:
    return Encoder(load_tokenizer(learned), None)


@pytest.fixture(scope="module")
def sequences(encoder: Encoder) -> list[Scored]:
    """Answers, texts, and a text of which nothing is scored; of all lengths."""
    answers = [encoder.answer(row["prompt"], row["answer"]) for row in tofu()["forget"]]
    return [*answers, *(encoder.plain(row["text"], 60) for row in muse()["forget"]), encoder.plain("A", 1)]


def alone(model: Any, scored: Scored) -> dict[str, np.ndarray]:
    """Everything that is kept of a sequence, from its full log-softmax, in float64 and without padding."""
    with torch.inference_mode():
        logits = model(torch.tensor([scored.ids])).logits[0].double()
    log_probs = logits.log_softmax(-1)[scored.start - 1 : -1]
    labels = torch.tensor(scored.ids[scored.start :], dtype=torch.long)
    means = (log_probs.exp() * log_probs).sum(-1)
    return {
        "log_probs": log_probs.gather(1, labels[:, None])[:, 0].numpy(),
        "right": (log_probs.argmax(-1) == labels).numpy(),
        "means": means.numpy(),
        "variances": ((log_probs.exp() * log_probs**2).sum(-1) - means**2).numpy(),
    }


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_every_number_is_that_of_the_sequence_alone(
    model: Any, sequences: list[Scored], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(forward.NUMBERS_AT_ONCE, "cpu", 1000)  # two positions of this vocabulary at a time
    told: list[int] = []
    found = score(model, sequences, batch, [Kept.MOMENTS] * len(sequences), told.append)
    for one, numbers in zip(sequences, found, strict=True):
        for name, expected in alone(model, one).items():
            assert getattr(numbers, name) == pytest.approx(expected, abs=1e-5), name
    assert told[-1] == len(sequences)


@pytest.mark.parametrize("batch", [1, 4])
def test_no_more_is_kept_than_is_wanted_of_each_sequence(model: Any, sequences: list[Scored], batch: int) -> None:
    wanted = [list(Kept)[number % 3] for number in range(len(sequences))]
    names = ("log_probs", "right", "means", "variances")
    for one, kept, found in zip(sequences, wanted, score(model, sequences, batch, wanted), strict=True):
        expected = alone(model, one)
        for name in names[:kept]:
            assert getattr(found, name) == pytest.approx(expected[name], abs=1e-5)
        assert all(getattr(found, name) is None for name in names[kept:])


@given(st.integers(0, 2**32 - 1))
def test_reductions_of_far_off_logits_are_exact(seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = torch.tensor(random.normal(scale=20, size=(5, 11)) + 300)
    labels = torch.tensor(random.integers(0, 11, 5))
    found = reduce_logits(logits, labels, Kept.MOMENTS).double()
    log_probs = logits.log_softmax(-1)
    means = (log_probs.exp() * log_probs).sum(-1)
    assert torch.allclose(found[:, 0], log_probs.gather(1, labels[:, None])[:, 0], atol=1e-4, rtol=1e-5)
    assert torch.equal(found[:, 1].bool(), logits.argmax(-1) == labels)
    assert torch.allclose(found[:, 2], means, atol=1e-4)
    assert torch.allclose(found[:, 3], (log_probs.exp() * (log_probs - means[:, None]) ** 2).sum(-1), atol=1e-3, rtol=1e-4)


# --- gradients ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_gradient_norm_is_the_mean_over_tensors(model: Any, sequences: list[Scored], order: int) -> None:
    one = sequences[0]
    counted = one.labels - 1
    model.zero_grad()
    labels = [-100] * one.start + list(one.ids[one.start :][:counted]) + [-100]
    model(torch.tensor([one.ids]), labels=torch.tensor([labels])).loss.backward()
    norms = [(p.grad.abs() ** order).sum() ** (1 / order) for p in model.parameters()]
    model.zero_grad()
    assert gradient_norm(model, one, counted, order) == pytest.approx(float(sum(norms) / len(norms)), rel=1e-5)
    assert all(p.grad is None for p in model.parameters())


def test_the_gradient_is_that_of_finite_differences(model: Any, sequences: list[Scored]) -> None:
    """Of the one tensor that is left to move, a norm of the last layer's scale."""
    one, weight = sequences[1], model.model.norm.weight
    for other in model.parameters():
        other.requires_grad_(other is weight)
    found = gradient_norm(model, one, one.labels, 2)
    slopes = []
    for place in range(len(weight)):
        sides = []
        for step in (1e-4, -1e-4):
            with torch.no_grad():
                weight[place] += step
                sides.append(-alone(model, one)["log_probs"].mean())
                weight[place] -= step
        slopes.append((sides[0] - sides[1]) / 2e-4)
    for other in model.parameters():
        other.requires_grad_(True)
    assert found == pytest.approx(np.linalg.norm(slopes), rel=1e-4)


def test_of_no_token_there_is_no_gradient(model: Any, sequences: list[Scored]) -> None:
    assert np.isnan(gradient_norm(model, sequences[-1], 0, 2))


# --- tokens ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("first_token", [False, True])
def test_an_answer_is_scored_with_its_end_behind_the_prompt_as_it_is_asked(
    tmp_path: Path, chat: bool, first_token: bool
) -> None:
    tokenizer = load_tokenizer(make_model(tmp_path, 0, chat, first_token))
    encoder = Encoder(tokenizer, None)
    found = encoder.answer("Where does Ada Brook live?", "In Ghent.")
    asked = "<user>Where does Ada Brook live?<assistant>" if chat else "Q: Where does Ada Brook live?\nA:"
    begins = "<|first|>" if first_token else ""
    assert tokenizer.decode(found.ids[: found.start]) == begins + asked
    assert tokenizer.decode(found.ids[found.start :]) == ("" if chat else " ") + "In Ghent.<|end|>"
    assert found.ends
    assert found.text.strip() == "In Ghent."


def test_a_template_that_writes_the_first_token_itself_has_it_once(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(make_model(tmp_path, 0, True, True))
    tokenizer.chat_template = "<|first|>" + tokenizer.chat_template
    ids = Encoder(tokenizer, None).tokens(Encoder(tokenizer, None).asked("Who?"))
    assert ids.count(tokenizer.bos_token_id) == 1


def test_solved_examples_stand_before_the_question(tmp_path: Path, encoder: Encoder) -> None:
    examples = [{"prompt": "Who?", "answer": "Ada."}, {"prompt": "Where?", "answer": "Here."}]
    form = Encoder(encoder.tokenizer, "Question: {question}\nAnswer: ")
    assert form.asked("When?", examples) == (
        "Question: Who?\nAnswer: Ada.\n\nQuestion: Where?\nAnswer: Here.\n\nQuestion: When?\nAnswer: "
    )
    assert encoder.asked("When?", examples) == "Q: Who?\nA: Ada.\n\nQ: Where?\nA: Here.\n\nQ: When?\nA:"
    chat = Encoder(load_tokenizer(make_model(tmp_path, 0, chat=True)), "Question: {question}\nAnswer: ")
    turns = "<user>Who?<assistant>Ada.<|end|><user>Where?<assistant>Here.<|end|><user>When?<assistant>"
    assert chat.asked("When?", examples) == turns


def test_a_question_with_braces_is_asked_as_it_stands(encoder: Encoder) -> None:
    form = Encoder(encoder.tokenizer, "Question: {question}\nAnswer: ")
    assert form.asked("What is {0} {question} {?") == "Question: What is {0} {question} {?\nAnswer: "


def test_a_text_is_scored_from_its_second_token_on_and_cut(encoder: Encoder) -> None:
    text = muse()["forget"][2]["text"]
    whole, cut = encoder.plain(text, 10_000), encoder.plain(text, 7)
    assert (whole.start, whole.ends, whole.cut) == (1, False, False)
    assert (cut.ids, cut.cut, cut.labels) == (whole.ids[:7], True, 6)


def test_a_continuation_has_a_space_before_it_and_no_end(encoder: Encoder) -> None:
    found = encoder.continuation("Ada went to", "Ghent.", 100)
    assert encoder.tokenizer.decode(found.ids) == "Ada went to Ghent."
    assert (found.text, found.ends) == (" Ghent.", False)
    assert encoder.continuation("Ada went to ", "Ghent.", 100).ids[-1] == found.ids[-1]


def test_a_prefix_stands_behind_the_first_token(tmp_path: Path) -> None:
    encoder = Encoder(load_tokenizer(make_model(tmp_path, 0, first_token=True)), None)
    one = encoder.plain("Ada went.", 100)
    found = behind_prefix(one, (5, 6, 7), first_token(encoder.tokenizer))
    assert found.ids == (one.ids[0], 5, 6, 7, *one.ids[1:])
    assert found.ids[found.start :] == one.ids[one.start :]
