"""One way from a question to the text that a model reads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.models import train_tokenizer
from runtime.prompts import prompt_hash, render_completion, render_prompt

PLAIN = train_tokenizer(["Q: what\nA: that"], 300)
CHAT = train_tokenizer(["Q: what\nA: that"], 300)
CHAT.chat_template = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<bot>{% if enable_thinking %}<think>{% endif %}"
)


def test_a_tokenizer_without_a_template_gets_the_plain_form() -> None:
    assert render_prompt("1+1=?", PLAIN) == "Q: 1+1=?\nA:"
    assert render_completion("2", PLAIN) == " 2"


def test_a_tokenizer_with_a_template_gets_its_template_without_thinking() -> None:
    assert render_prompt("1+1=?", CHAT) == "<user>1+1=?<bot>"
    assert render_completion("2", CHAT) == "2"


@given(st.text(max_size=20), st.text(max_size=20))
def test_prompt_and_completion_have_the_same_tokens_apart_as_together(prompt: str, answer: str) -> None:
    before, after = render_prompt(prompt, PLAIN), render_completion(answer, PLAIN)
    assert PLAIN.encode(before + after) == PLAIN.encode(before) + PLAIN.encode(after)
    assert PLAIN.decode(PLAIN.encode(before + after)) == before + after


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_prompts_hash_alike_only_when_they_are_the_same_in_the_same_order(one: list[str], other: list[str]) -> None:
    assert (prompt_hash(one) == prompt_hash(other)) == (one == other)
