"""Rows as tokens: what a model is asked, what it is scored at, and what stands before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.prompts import Tokens, render_completion, render_prompt, tokens_of, tokens_of_answer

BETWEEN_EXAMPLES = "\n\n"
QUESTION = "{question}"


@dataclass(frozen=True)
class Scored(Tokens):
    """A sequence whose labels are scored: whether the last one is the end token; their text without special tokens; and whether
    tokens were left out at its end."""

    ends: bool
    text: str
    cut: bool = False

    @property
    def labels(self) -> int:
        """How many tokens are scored."""
        return len(self.ids) - self.start


@dataclass(frozen=True)
class Encoder:
    """A checkpoint's tokenizer and its own way to be asked: its chat template or, without one, `question_form`, or the plain
    form of runtime/prompts.py where that is None."""

    tokenizer: Any
    question_form: str | None

    def tokens(self, text: str) -> list[int]:
        """`text` in tokens, after the tokenizer's own first token, once, where it has one."""
        return tokens_of(text, self.tokenizer)

    def asked(self, question: str, examples: Sequence[Mapping[str, str]] = ()) -> str:
        """The text after which the answer begins, behind solved examples ({"prompt", "answer"})."""
        if self.tokenizer.chat_template and examples:
            return self._chat(question, examples)
        before = [self._one(row["prompt"]) + self.answered(row["answer"]) + BETWEEN_EXAMPLES for row in examples]
        return "".join([*before, self._one(question)])

    def answered(self, answer: str) -> str:
        """What stands behind `asked` when the answer is this."""
        return answer if self._formed() else render_completion(answer, self.tokenizer)

    def answer(self, question: str, answer: str) -> Scored:
        """An answer to a question, scored with the end token behind it; as many tokens as the prompt alone has are not."""
        found = tokens_of_answer(self.asked(question), self.answered(answer), self.tokenizer)
        return self._scored(found.ids, found.start, True)

    def continuation(self, prompt: str, text: str, max_length: int) -> Scored:
        """A text scored as what follows `prompt`, with a space between them where there is none and no end token behind; of
        both together, the first `max_length` tokens."""
        joined = prompt[-1:].isspace() or text[:1].isspace() or not prompt
        ids = self.tokens(prompt + (text if joined else f" {text}"))
        return self._scored(ids, len(self.tokens(prompt)), False, max_length)

    def plain(self, text: str, max_length: int) -> Scored:
        """The first `max_length` tokens of a text, all but the first of them scored (the tokenizer's own counts as one)."""
        return self._scored(self.tokens(text), 1, False, max_length)

    def _one(self, question: str) -> str:
        form = self._formed()
        return form.replace(QUESTION, question) if form else render_prompt(question, self.tokenizer)

    def _formed(self) -> str | None:
        return None if self.tokenizer.chat_template else self.question_form

    def _chat(self, question: str, examples: Sequence[Mapping[str, str]]) -> str:
        turns = [
            {"role": role, "content": row[column]}
            for row in examples
            for role, column in (("user", "prompt"), ("assistant", "answer"))
        ]
        messages = [*turns, {"role": "user", "content": question}]
        return str(
            self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=False)
        )

    def _scored(self, ids: Sequence[int], start: int, ends: bool, max_length: int | None = None) -> Scored:
        first, kept = max(1, start), tuple(ids[:max_length])
        return Scored(kept, first, ends, self.tokenizer.decode(kept[first:], skip_special_tokens=True), len(kept) < len(ids))


def behind_prefix(scored: Scored, prefix: Sequence[int], first: int | None) -> Scored:
    """`scored` with `prefix` before it, not scored itself; behind the tokenizer's own `first` token where there is one."""
    kept = 1 if first is not None and scored.ids[:1] == (first,) else 0
    ids = (*scored.ids[:kept], *prefix, *scored.ids[kept:])
    return Scored(ids, scored.start + len(prefix), scored.ends, scored.text)
