"""Takes the KL divergence along answers that one of two models samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from runtime.divergence.kl import answer_kl
from runtime.errors import JobError
from runtime.sampling import Decoding, end_tokens, sample_tokens

AT_ONCE = 2**28  # logits of one model in memory, 1 GB in float32; it decides nothing but rounding


@dataclass(frozen=True)
class Answer:
    """One sampled answer: the sum of the divergence over its tokens in nats, how many there are, and whether it came to an end.

    The end token counts as one of them: to stop is a choice, too.
    """

    kl: float
    tokens: int
    finished: bool


def along(
    sampler: Any, other: Any, tokenizer: Any, prompts: Sequence[str], seeds: Sequence[int], decoding: Decoding
) -> list[Answer]:
    """KL(sampler || other) along one answer of `sampler` to each rendered prompt, in order.

    Raises JobError when the models do not have the same symbols.
    """
    encoded = [tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts]
    answers = sample_tokens(sampler, tokenizer, encoded, seeds, decoding)
    ends = end_tokens(sampler, tokenizer)
    sums: dict[int, float] = {}
    for chosen in _pieces(encoded, answers, sampler.config.vocab_size):
        found = _sums(sampler, other, [encoded[i] for i in chosen], [answers[i] for i in chosen], tokenizer.pad_token_id)
        sums.update(zip(chosen, found, strict=True))
    return [Answer(sums[i], len(tokens), tokens[-1] in ends) for i, tokens in enumerate(answers)]


def _pieces(encoded: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], vocabulary: int) -> Iterator[list[int]]:
    """Which answers go through the models together, those of like length; each piece's logits have room."""
    order = sorted(range(len(answers)), key=lambda i: (len(answers[i]), len(encoded[i]), i))
    piece: list[int] = []
    for index in order:
        if piece and (len(piece) + 1) * (len(answers[index]) + 1) * vocabulary > AT_ONCE:
            yield piece
            piece = []
        piece.append(index)
    yield piece


@torch.inference_mode()
def _sums(
    sampler: Any, other: Any, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], pad: int
) -> list[float]:
    """The divergence summed over each answer. Prompts are padded on the left, answers on the right."""
    wide, long = max(map(len, prompts)), max(map(len, answers))
    ids = [[pad] * (wide - len(p)) + [*p, *a] + [pad] * (long - len(a)) for p, a in zip(prompts, answers, strict=True)]
    seen = [
        [0] * (wide - len(p)) + [1] * (len(p) + len(a)) + [0] * (long - len(a)) for p, a in zip(prompts, answers, strict=True)
    ]
    tokens, mask = (torch.tensor(rows, device=sampler.device) for rows in (ids, seen))
    first, second = (_logits(model, tokens, mask, long) for model in (sampler, other))
    if first.shape != second.shape:
        raise JobError(f"one model tells {first.shape[-1]} symbols apart, the other {second.shape[-1]}: they do not compare")
    own = mask[:, wide:]
    return [float(answer_kl(one.float(), two.float(), row)) for one, two, row in zip(first, second, own, strict=True)]


def _logits(model: Any, tokens: torch.Tensor, mask: torch.Tensor, long: int) -> torch.Tensor:
    """What each of the last `long` tokens was drawn from, (B, long, V)."""
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    found = model(input_ids=tokens, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=long + 1)
    logits: torch.Tensor = found.logits[:, :-1]
    return logits
