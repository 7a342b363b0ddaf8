"""How a question becomes the text a model reads. Training, sampling and evaluation all come here and cannot differ.

A tokenizer with a chat template gets its template; one without gets the plain form `Q: …\\nA:`, whose answer begins
with a space.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

PROBE = "What is asked?"


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


def prompt_hash(rendered: Iterable[str]) -> str:
    """A hash of rendered prompts in their order (16 hex digits): equal hashes mean that a model was asked the same."""
    digest = hashlib.sha256()
    for text in rendered:
        digest.update(text.encode("utf-8") + b"\0")
    return digest.hexdigest()[:16]


def prompt_form(tokenizer: Any) -> str:
    """A hash of how this tokenizer's model is asked, whatever the question: one to be trained and one to be measured agree."""
    return prompt_hash([render_prompt(PROBE, tokenizer)])
