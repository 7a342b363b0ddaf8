"""A training artifact's rows as texts that TRL can tokenize, and the rows that are too long for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.errors import JobError
from runtime.prompts import render_completion, render_prompt
from runtime.train.recipe import Recipe

Texts = Mapping[str, str]


def rendered(row: Mapping[str, Any], answers: Sequence[str], tokenizer: Any) -> dict[str, str]:
    """The row's prompt and its `answers` columns as the texts that the model reads and is to write.

    TRL lets the tokenizer add its own first token, so one that the chat template has already written is taken off.
    """
    prompt = render_prompt(row["prompt"], tokenizer)
    first = tokenizer.bos_token
    if first and prompt.startswith(first) and tokenizer("")["input_ids"] == [tokenizer.bos_token_id]:
        prompt = prompt.removeprefix(first)
    return {"prompt": prompt, **{name: render_completion(row[name], tokenizer) for name in answers}}


def fitting(rows: Sequence[Texts], answers: Sequence[str], tokenizer: Any, recipe: Recipe) -> list[Texts]:
    """The rows whose prompt with each answer and the end token has at most `recipe.longest` tokens.

    Raises JobError when some are longer and the recipe does not say to drop them, or when none is left.
    """
    lengths = [_tokens(row, answers, tokenizer) for row in rows]
    kept = [row for row, length in zip(rows, lengths, strict=True) if length <= recipe.longest]
    if len(kept) < len(rows) and recipe.overlong == "error":
        raise JobError(
            f"{len(rows) - len(kept)} of {len(rows)} rows are longer than {recipe.longest} tokens (the longest has "
            f"{max(lengths)}); raise the length, or set overlong to drop"
        )
    if not kept:
        raise JobError(f"none of {len(rows)} rows has at most {recipe.longest} tokens; raise the length")
    return kept


def whole_batches(rows: Sequence[Texts], batch_size: int) -> list[Texts]:
    """The rows without the last few that would not fill a batch, so that steps an epoch depend on no micro-batch."""
    whole = len(rows) - len(rows) % batch_size
    if not whole:
        raise JobError(f"{len(rows)} rows do not fill one batch of {batch_size}; make batch_size smaller or the data larger")
    return list(rows[:whole])


def _tokens(row: Texts, answers: Sequence[str], tokenizer: Any) -> int:
    texts = [row["prompt"] + row[name] for name in answers]
    if not texts:
        return len(tokenizer(row["prompt"])["input_ids"])
    return 1 + max(len(ids) for ids in tokenizer(texts)["input_ids"])
