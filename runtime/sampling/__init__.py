"""Batched sampling from a causal language model, with a key-value cache, greedy or at a temperature.

Each sample draws its randomness from a seed of its own, so what is sampled for a prompt depends on neither its
neighbours nor the batch size (up to rounding in the logits).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen: greedily at temperature 0, else from the `top_p` nucleus (Holtzman et al. 2020)."""

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    batch: int = 512


@dataclass(frozen=True)
class Sample:
    """One answer: its text without the prompt and without surrounding space, and whether the model ended it itself.

    `failed` says why there is none, where what samples refused the prompt.
    """

    text: str
    finished: bool
    failed: str = ""


OnBatch = Callable[[Mapping[int, Sample]], None]  # is told what was drawn just now, by its place among the prompts


def item_seed(seed: int, *names: str | int) -> int:
    """A seed (63 bits) for one item of a job: a hash of the job's seed and whatever names the item."""
    digest = hashlib.sha256("\0".join(map(str, (seed, *names))).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def sample(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    decoding: Decoding,
    on_batch: OnBatch = lambda drawn: None,
) -> list[Sample]:
    """One sample for each rendered prompt, in order; `on_batch` is told the samples of each batch.

    Prompts of like length share a batch, left-padded to its longest; at temperature 0 the seeds decide nothing. Without the
    prompts of the first batches, the others are in the same batches as with them.
    """
    encoded: list[list[int]] = [tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts]
    ends = end_tokens(model, tokenizer)
    found: dict[int, Sample] = {}
    for batch in _batches(model, tokenizer, encoded, seeds, decoding):
        drawn = {index: _finish(tokens, tokenizer, ends) for index, tokens in batch.items()}
        found |= drawn
        on_batch(drawn)
    return [found[index] for index in range(len(prompts))]


def sample_tokens(
    model: Any, tokenizer: Any, encoded: Sequence[Sequence[int]], seeds: Sequence[int], decoding: Decoding,
    progress: Callable[[int], None] | None = None,
) -> list[list[int]]:  # fmt: skip
    """The new tokens behind each prompt in tokens, in order: up to and with the end token, or as many as there may be.

    `progress` is told after each batch how many prompts are answered.
    """
    found: dict[int, list[int]] = {}
    for batch in _batches(model, tokenizer, encoded, seeds, decoding):
        found |= batch
        if progress:
            progress(len(found))
    return [found[index] for index in range(len(encoded))]


def _batches(
    model: Any, tokenizer: Any, encoded: Sequence[Sequence[int]], seeds: Sequence[int], decoding: Decoding
) -> Iterator[dict[int, list[int]]]:
    """The new tokens of one batch after the other, by the prompts' places; the shortest prompts first."""
    order = sorted(range(len(encoded)), key=lambda index: (len(encoded[index]), index))
    ends = end_tokens(model, tokenizer)
    for start in range(0, len(order), decoding.batch):
        chosen = order[start : start + decoding.batch]
        draws = _uniforms([seeds[index] for index in chosen], decoding)
        found = {}
        for index, tokens in zip(chosen, _decode(model, tokenizer, [encoded[i] for i in chosen], draws, decoding), strict=True):
            ended = next((place + 1 for place, token in enumerate(tokens) if token in ends), len(tokens))
            found[index] = tokens[:ended]
        yield found


def choose_tokens(logits: torch.Tensor, uniforms: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """One token for each row of `logits` (rows, vocabulary): the largest, or at a temperature one drawn by `uniforms`.

    `uniforms` (rows) lie in [0, 1): inverse transform sampling over tokens sorted by probability, cut to the smallest
    set that holds `top_p` of it.
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    probabilities, tokens = (logits.float() / temperature).softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
    before = probabilities.cumsum(dim=-1) - probabilities
    kept = probabilities.masked_fill(before >= top_p, 0.0)
    kept[:, 0] = probabilities[:, 0]
    reached = kept.cumsum(dim=-1)
    position = (reached <= uniforms[:, None] * reached[:, -1:]).sum(dim=-1)
    last = (kept > 0).sum(dim=-1) - 1
    return tokens.gather(1, torch.minimum(position, last)[:, None])[:, 0]


@torch.inference_mode()
def _decode(
    model: Any, tokenizer: Any, encoded: Sequence[Sequence[int]], draws: torch.Tensor, decoding: Decoding
) -> list[list[int]]:
    """The new tokens of one batch, each row up to and with its end token. `draws` has shape (rows, max_new_tokens)."""
    ids, mask = _pad_left(encoded, tokenizer.pad_token_id, model.device)
    cache = DynamicCache(config=model.config)
    positions = (mask.cumsum(dim=-1) - 1).clamp(min=0)
    alive = torch.arange(len(encoded), device=model.device)
    ends = torch.tensor(sorted(end_tokens(model, tokenizer)), device=model.device)
    found = torch.full((len(encoded), decoding.max_new_tokens), int(ends[0]), device=model.device)
    draws = draws.to(model.device)
    for step in range(decoding.max_new_tokens):
        logits = model(ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1).logits[:, -1]
        chosen = choose_tokens(logits, draws[alive, step], decoding.temperature, decoding.top_p)
        found[alive, step] = chosen
        going_on = ~torch.isin(chosen, ends)
        if not going_on.any():
            break
        if not going_on.all():
            kept = going_on.nonzero()[:, 0]
            cache.batch_select_indices(kept)
            alive, chosen, mask, positions = alive[kept], chosen[kept], mask[kept], positions[kept]
        ids, positions = chosen[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
    rows: list[list[int]] = found.tolist()
    return rows


def _finish(tokens: Sequence[int], tokenizer: Any, ends: frozenset[int]) -> Sample:
    finished = bool(tokens) and tokens[-1] in ends
    text = tokenizer.decode(tokens[:-1] if finished else tokens, skip_special_tokens=True)
    return Sample(text=text.strip(), finished=finished)


def _pad_left(encoded: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, encoded))
    ids = [[pad] * (longest - len(row)) + list(row) for row in encoded]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in encoded]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _uniforms(seeds: Sequence[int], decoding: Decoding) -> torch.Tensor:
    if decoding.temperature == 0:
        return torch.zeros(len(seeds), decoding.max_new_tokens)
    drawn = [np.random.default_rng(seed).random(decoding.max_new_tokens) for seed in seeds]
    return torch.tensor(np.stack(drawn), dtype=torch.float32)


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokenizer's end token and those that the model's generation config adds (chat models have several)."""
    configured = model.generation_config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in (tokenizer.eos_token_id, *listed) if token is not None)
