"""How a question becomes the text a model reads, and its tokens. Training, sampling and evaluation all come here and cannot
differ.

A tokenizer with a chat template gets its template; one without gets the plain form `Q: …\\nA:`, whose answer begins
with a space.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

PROBE = "What is asked?"


@dataclass(frozen=True)
class Tokens:
    """A sequence of tokens, of which those from `start` (1 or more) on are labels. Equal sequences are equal keys."""

    ids: tuple[int, ...]
    start: int


def render_prompt(prompt: str, tokenizer: Any) -> str:
    """The text after which the model's answer begins. Chat templates that know `enable_thinking` are told not to."""
    if not tokenizer.chat_template:
        return f"Q: {prompt}\nA:"
    messages = [{"role": "user", "content": prompt}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    return str(rendered)


def render_completion(text: str, tokenizer: Any) -> str:
    """What stands after the rendered prompt when the answer is `text`; the end-of-text token is left to the trainer."""
    return text if tokenizer.chat_template else f" {text}"


def first_token(tokenizer: Any) -> int | None:
    """The token that the tokenizer puts before every text, if it does."""
    return next((int(token) for token in tokenizer("")["input_ids"][:1] if token == tokenizer.bos_token_id), None)


def tokens_of(text: str, tokenizer: Any) -> list[int]:
    """`text` in tokens, after the tokenizer's own first token, once, where it has one: a chat template may write it, too."""
    first = first_token(tokenizer)
    bare = text if first is None else text.removeprefix(tokenizer.bos_token)
    found: list[int] = tokenizer.encode(bare, add_special_tokens=False)
    return found if first is None else [first, *found]


def tokens_of_answer(prompt: str, answer: str, tokenizer: Any) -> Tokens:
    """A rendered prompt with its answer and the end token, of which as many tokens are no labels as the prompt alone has.

    Both are read as one text; a token across the two would so belong to the prompt, as published.
    """
    asked, whole, end = tokens_of(prompt, tokenizer), tokens_of(prompt + answer, tokenizer), tokenizer.eos_token_id
    ended = whole if whole[-1:] == [end] else [*whole, end]
    return Tokens(tuple(ended), max(1, min(len(asked), len(ended) - 1)))


def prompt_hash(rendered: Iterable[str]) -> str:
    """A hash of rendered prompts in their order (16 hex digits): equal hashes mean that a model was asked the same."""
    digest = hashlib.sha256()
    for text in rendered:
        digest.update(text.encode("utf-8") + b"\0")
    return digest.hexdigest()[:16]


def prompt_form(tokenizer: Any) -> str:
    """A hash of how this tokenizer's model is asked, whatever the question: one to be trained and one to be measured agree."""
    return prompt_hash([render_prompt(PROBE, tokenizer)])
