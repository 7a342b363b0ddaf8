"""What an unlearning reads: labels on answers and on pieces of texts, padding by length, and configs as their schemas say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing

from runtime.errors import JobError
from runtime.jobs.train import ALGORITHMS
from runtime.metrics.encode import Encoder
from runtime.models import load_tokenizer, train_tokenizer
from runtime.prompts import Tokens
from runtime.train.losses.sequences import IGNORED
from runtime.train.unlearn.sequences import answer_tokens, in_batches, pad_token, padded, pieces, read_sequences
from runtime.train.unlearn.settings import COMMON, OWN, RECORDED, Unlearning, parse_unlearning
from tests.runtime.toys import Values, untrained
from tests.runtime.unlearning import OWN as TOYS
from tests.runtime.unlearning import config

SCHEMAS = Path("templates/backends/native")
READ = sorted(OWN.keys() - {RECORDED})  # which has fewer settings: test_lmcleaner.py
TEXTS = ["say up 1", "say down 2 and then say up", "left"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_tokenizer(untrained(tmp_path_factory.mktemp("tokenizer") / "start"))


def labelled(tokens: Tokens, tokenizer: Any) -> str:
    """The text of the labels that a sequence has."""
    part = padded([tokens], pad_token(tokenizer))
    return str(tokenizer.decode([label for label in part["labels"][0].tolist() if label != IGNORED]))


# ---- answers -----------------------------------------------------------------------------------------------------------


def test_labels_are_the_answer_with_its_end(tokenizer: Any) -> None:
    tokens = answer_tokens("say up 1", "up 1", tokenizer)
    assert tokenizer.decode(tokens.ids) == "Q: say up 1\nA: up 1<|end|>"
    assert labelled(tokens, tokenizer) == " up 1<|end|>"


def test_an_answer_that_ends_is_ended_once(tokenizer: Any) -> None:
    assert labelled(answer_tokens("say up 1", "up 1<|end|>", tokenizer), tokenizer) == " up 1<|end|>"
    assert labelled(answer_tokens("say up 1", "", tokenizer), tokenizer).endswith("<|end|>")


def test_a_chat_template_is_followed_and_its_first_token_stands_once(tokenizer: Any) -> None:
    chatty = train_tokenizer(TEXTS, 320)
    chatty.add_special_tokens({"bos_token": "<s>"})
    begin = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", chatty.bos_token_id)])
    chatty.backend_tokenizer.post_processor = begin
    chatty.chat_template = "{{ bos_token }}[{{ messages[0].content }}]"
    tokens = answer_tokens("say up", "up", chatty)
    assert chatty.decode(tokens.ids) == "<s>[say up]up<|end|>"
    assert labelled(tokens, chatty) == "up<|end|>"


def test_a_token_across_prompt_and_answer_is_the_prompts() -> None:
    """A template that ends in the midst of a word."""
    joining = train_tokenizer(["upward upward upward upward"], 320)
    joining.chat_template = "{{ messages[0].content }}"
    assert len(joining("upward")["input_ids"]) == 1
    assert labelled(answer_tokens("up", "ward", joining), joining) == "<|end|>"


@pytest.mark.parametrize("template", [None, "[{{ messages[0].content }}]"])
def test_metrics_score_the_very_tokens_that_training_labels(template: str | None, tokenizer: Any) -> None:
    chatty = train_tokenizer(TEXTS, 320)
    chatty.chat_template = template
    for question, answer in (("say up", "up 1"), ("left", ""), ("say", "no<|end|>")):
        scored, trained = Encoder(chatty, None).answer(question, answer), answer_tokens(question, answer, chatty)
        assert (scored.ids, scored.start) == (trained.ids, trained.start)


# ---- pieces ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [3, 4, 5, 64])
def test_pieces_are_all_texts_cut_in_equal_lengths(length: int, tokenizer: Any) -> None:
    ids = tokenizer("\n\n".join(TEXTS))["input_ids"]
    cut = pieces(TEXTS, tokenizer, length)
    rest = len(ids) % length
    assert [len(piece.ids) for piece in cut] == [length] * (len(ids) // length) + [rest] * (rest > 1)
    assert [token for piece in cut for token in piece.ids] == (ids[:-1] if rest == 1 else ids)
    assert all(piece.start == 1 for piece in cut)


def test_an_exact_multiple_leaves_no_empty_piece(tokenizer: Any) -> None:
    ids = tokenizer("\n\n".join(TEXTS))["input_ids"]
    assert len(pieces(TEXTS, tokenizer, len(ids))) == 1


def test_every_piece_begins_as_the_tokenizer_begins_texts() -> None:
    beginning = train_tokenizer(TEXTS, 320)
    beginning.add_special_tokens({"bos_token": "<s>"})
    beginning.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", beginning.bos_token_id)]
    )
    cut = pieces(TEXTS, beginning, 4)
    assert {piece.ids[0] for piece in cut} == {beginning.bos_token_id} and len(cut[0].ids) == 5
    assert "<s>" not in "".join(labelled(piece, beginning) for piece in cut)


def test_rows_of_the_other_kind_are_named_with_their_line(tokenizer: Any) -> None:
    rows = [{"id": "a", "text": "up"}, {"id": "b", "prompt": "say", "answer": "up"}]
    with pytest.raises(JobError, match=r"some\.jsonl:2: text: pieces reads texts, and this row has id, prompt, answer"):
        read_sequences(rows, "pieces", tokenizer, 8, Path("some.jsonl"))
    with pytest.raises(JobError, match=r"some\.jsonl:1: text: answers reads questions"):
        read_sequences(rows, "answers", tokenizer, 8, Path("some.jsonl"))


# ---- batches -----------------------------------------------------------------------------------------------------------


def test_the_mask_goes_by_length_even_where_the_pad_token_is_the_end_token() -> None:
    batch = padded([Tokens((5, 6, 9), 1), Tokens((7, 9), 1), Tokens((8, 6, 4, 9), 2)], pad=9)
    assert batch["input_ids"].tolist() == [[5, 6, 9, 9], [7, 9, 9, 9], [8, 6, 4, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch["labels"].tolist() == [[-100, 6, 9, -100], [-100, 9, -100, -100], [-100, -100, 4, 9]]
    assert all(part.dtype == torch.long for part in batch.values())


def test_without_a_pad_token_the_end_token_pads() -> None:
    bare = train_tokenizer(TEXTS, 320)
    bare.pad_token = None
    assert pad_token(bare) == bare.eos_token_id


def test_batches_keep_their_order() -> None:
    found = list(in_batches([Tokens((n, 0), 1) for n in range(5)], 2, pad=0))
    assert [batch["input_ids"][:, 0].tolist() for batch in found] == [[0, 1], [2, 3], [4]]


# ---- configs -----------------------------------------------------------------------------------------------------------


def schema(algorithm: str) -> Values:
    found: Values = json.loads((SCHEMAS / f"{algorithm}.schema.json").read_text(encoding="utf-8"))["properties"]
    return found


@pytest.mark.parametrize("algorithm", READ)
def test_what_a_schema_asks_for_is_what_is_read(algorithm: str) -> None:
    settings = schema(algorithm)["settings"]
    assert set(settings["required"]) == COMMON | OWN[algorithm] == set(TOYS[algorithm]) | COMMON
    assert set(settings["properties"]) == set(settings["required"]) | {"adapter"}
    assert ALGORITHMS[algorithm] == "runtime.train.unlearn.trainer"


@pytest.mark.parametrize("algorithm", READ)
def test_every_choice_of_a_schema_is_one_that_is_read(algorithm: str) -> None:
    parts = schema(algorithm)
    choices = {name: about["enum"] for name, about in parts["settings"]["properties"].items() if "enum" in about}
    for name, values in choices.items():
        for value in values:
            assert isinstance(parse_unlearning(config(algorithm, **{name: value})), Unlearning)
        with pytest.raises(JobError, match=f"{name}: there is no 'neither'"):
            parse_unlearning(config(algorithm, **{name: "neither"}))
    for name, about in parts["execution"]["properties"].items():
        for value in about.get("enum", ()):
            parse_unlearning(config(algorithm, execution={name: value}))


@pytest.mark.parametrize(
    ("schedule", "precision", "expected"),
    [("constant", "fp32", ("constant_with_warmup", False, "float32")), ("cosine", "bf16_mixed", ("cosine", True, "float32")),
     ("linear", "bf16", ("linear", True, "bfloat16"))],
)  # fmt: skip
def test_settings_become_the_trainers_arguments(schedule: str, precision: str, expected: tuple[str, bool, str]) -> None:
    recipe = parse_unlearning(config("npo", schedule=schedule, precision=precision, lr=3e-5, grad_clip=0.5))
    assert (recipe.args["lr_scheduler_type"], recipe.args["bf16"], recipe.model_dtype) == expected
    assert recipe.args["learning_rate"] == 3e-5 and recipe.args["max_grad_norm"] == 0.5
    assert recipe.args["num_train_epochs"] == 3 and "max_steps" not in recipe.args
