"""Rows of forget and retain sets as sequences of tokens with their labels, and their batches.

A question's answer is labelled with its end-of-text token, the prompt is not. Texts are joined, cut in pieces, and every token
of a piece is a label but the first, which nothing predicts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from runtime.errors import JobError
from runtime.prompts import Tokens, first_token, render_completion, render_prompt, tokens_of_answer
from runtime.train.losses.sequences import IGNORED

BETWEEN_TEXTS = "\n\n"
Padded = dict[str, torch.Tensor]


def answer_tokens(prompt: str, answer: str, tokenizer: Any) -> Tokens:
    """A question with its answer and the end token, as metrics read it."""
    return tokens_of_answer(render_prompt(prompt, tokenizer), render_completion(answer, tokenizer), tokenizer)


def pieces(texts: Sequence[str], tokenizer: Any, max_length: int) -> list[Tokens]:
    """All texts, joined by an empty line, in pieces of `max_length` tokens, each after what the tokenizer begins texts with.

    The last piece is shorter; one without a label is left out.
    """
    ids = tokenizer(BETWEEN_TEXTS.join(texts), add_special_tokens=False)["input_ids"]
    first = first_token(tokenizer)
    begin = () if first is None else (first,)
    cut = [Tokens((*begin, *ids[at : at + max_length]), 1) for at in range(0, len(ids), max_length)]
    return [piece for piece in cut if len(piece.ids) > 1]


def read_sequences(rows: Sequence[Mapping[str, Any]], text: str, tokenizer: Any, max_length: int, file: Path) -> list[Tokens]:
    """The rows of a set as the config's `text` says: a sequence each, or pieces of all. JobError for rows of the other form."""
    fits = is_text if text == "pieces" else is_question
    for number, row in enumerate(rows, start=1):
        if not fits(row):
            form = "texts" if text == "pieces" else "questions with their answers"
            raise JobError(f"{file}:{number}: text: {text} reads {form}, and this row has {', '.join(row)}; change text")
    if text == "pieces":
        return pieces([row["text"] for row in rows], tokenizer, max_length)
    return [answer_tokens(row["prompt"], str(answer_of(row)), tokenizer) for row in rows]


def is_text(row: Mapping[str, Any]) -> bool:
    """Whether a row is a text."""
    return isinstance(row.get("text"), str)


def is_question(row: Mapping[str, Any]) -> bool:
    """Whether a row is a question with its answer."""
    return isinstance(row.get("prompt"), str) and answer_of(row) is not None


def answer_of(row: Mapping[str, Any]) -> str | None:
    """What is to be written after the prompt: `completion` in a dataset.sft, `answer` in a dataset.unlearning."""
    found = row.get("completion", row.get("answer"))
    return found if isinstance(found, str) else None


def padded(batch: Sequence[Tokens], pad: int) -> Padded:
    """`input_ids`, `attention_mask` and `labels`, each (B, T), padded on the right.

    The mask goes by length, so that an end token that is also the pad token is attended to.
    """
    longest = max(len(one.ids) for one in batch)
    ids = torch.full((len(batch), longest), pad)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
    for place, one in enumerate(batch):
        held = torch.tensor(one.ids)
        ids[place, : len(held)], mask[place, : len(held)] = held, 1
        labels[place, one.start : len(held)] = held[one.start :]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def in_batches(sequences: Sequence[Tokens], size: int, pad: int) -> Iterator[Padded]:
    """The sequences in batches of at most `size`, in their order."""
    for start in range(0, len(sequences), size):
        yield padded(sequences[start : start + size], pad)


def pad_token(tokenizer: Any) -> int:
    """What stands behind a sequence: nothing reads it, so the end token does where there is none for it."""
    pad = tokenizer.pad_token_id
    return int(tokenizer.eos_token_id if pad is None else pad)
