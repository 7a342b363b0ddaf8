"""One forward pass for every metric that reads the same logits.

What is kept of a token's logits over the vocabulary are one to four numbers. Logits exist for label positions only, once, in
the model's precision; their float32 copy for a few positions at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import torch

from runtime.metrics.encode import Scored

NUMBERS_AT_ONCE = {"cpu": 2**20, "cuda": 2**26}  # float32 logits at a time: 4 MiB, which stay in a cache, or 256 MiB


class Kept(IntEnum):
    """What is kept of a sequence's labels; each holds what the one before does."""

    LOG_PROBS = 1
    RIGHT = 2
    MOMENTS = 4


@dataclass(frozen=True)
class Tokens:
    """Of one sequence's labels, each of shape (tokens,): log p (nats); and where they are kept, whether the most likely token
    is the label, and mean and variance of log p under p over the vocabulary."""

    log_probs: np.ndarray
    right: np.ndarray | None = None
    means: np.ndarray | None = None
    variances: np.ndarray | None = None


@torch.inference_mode()
def score(
    model: Any,
    sequences: Sequence[Scored],
    batch: int,
    kept: Sequence[Kept],
    on_batch: Callable[[int], None] = lambda done: None,
) -> list[Tokens]:
    """The numbers of each sequence, in order. Sequences of like length share a batch of at most `batch`.

    `kept` says of each what is wanted; `on_batch` is told how many are done after each batch.
    """
    order = sorted(range(len(sequences)), key=lambda index: (len(sequences[index].ids), index))
    found: dict[int, Tokens] = {}
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        numbers = _score_batch(model, [sequences[index] for index in chosen], [kept[index] for index in chosen])
        found.update(zip(chosen, numbers, strict=True))
        on_batch(len(found))
    return [found[index] for index in range(len(sequences))]


def reduce_logits(logits: torch.Tensor, labels: torch.Tensor, kept: Kept) -> torch.Tensor:
    """What is kept of `logits` (positions, vocabulary) with `labels` (positions): (positions, `kept`) numbers in float32.

    Columns: log p of the label, whether the largest logit is the label's, then mean and variance of log p under p.
    """
    values = logits.float()
    total = values.logsumexp(dim=-1, keepdim=True)
    found = [(values.gather(1, labels[:, None]) - total)[:, 0]]
    if kept >= Kept.RIGHT:
        found.append((values.argmax(dim=-1) == labels).float())
    if kept >= Kept.MOMENTS:
        log_probs = values - total
        probs = log_probs.exp()
        means = (probs * log_probs).sum(dim=-1)
        found += [means, probs.mul_(log_probs.sub_(means[:, None]).square_()).sum(dim=-1)]
    return torch.stack(found, dim=1)


def _score_batch(model: Any, sequences: Sequence[Scored], kept: Sequence[Kept]) -> list[Tokens]:
    """Padded on the left, so that labels stand at the end of each row, and logits are made for the most of them, no more."""
    longest, labels = max(len(one.ids) for one in sequences), max(one.labels for one in sequences)
    pads = [longest - len(one.ids) for one in sequences]
    ids = torch.tensor([[0] * pad + list(one.ids) for pad, one in zip(pads, sequences, strict=True)], device=model.device)
    mask = torch.tensor([[0] * pad + [1] * (longest - pad) for pad in pads], device=model.device)
    positions = (mask.cumsum(dim=-1) - 1).clamp(min=0)
    logits = model(ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=labels + 1).logits
    found: dict[int, Tokens] = {}
    for much in sorted(set(kept)):
        chosen = [row for row, wanted in enumerate(kept) if wanted == much]
        found.update(zip(chosen, _reduced(logits, sequences, chosen, much), strict=True))
    return [found[row] for row in range(len(sequences))]


def _reduced(logits: torch.Tensor, sequences: Sequence[Scored], chosen: Sequence[int], kept: Kept) -> list[Tokens]:
    """`reduce_logits` of the label positions of some of a batch's sequences, a few positions at a time.

    `logits` (sequences, places, vocabulary) end at the position behind each sequence, which no label is read from.
    """
    last, device = logits.shape[1] - 1, logits.device
    counts = [sequences[row].labels for row in chosen]
    rows = torch.tensor([row for row in chosen for _ in range(sequences[row].labels)], dtype=torch.long, device=device)
    places = torch.tensor([at for many in counts for at in range(last - many, last)], dtype=torch.long, device=device)
    wanted = [token for row in chosen for token in sequences[row].ids[sequences[row].start :]]
    labels = torch.tensor(wanted, dtype=torch.long, device=device)
    many = max(1, NUMBERS_AT_ONCE[device.type] // logits.shape[-1])
    parts = [
        reduce_logits(logits[rows[at : at + many], places[at : at + many]], labels[at : at + many], kept)
        for at in range(0, len(labels), many)
    ]
    numbers = (torch.cat(parts) if parts else torch.zeros(0, int(kept))).double().cpu().numpy()
    return [_tokens(part, kept) for part in np.split(numbers, np.cumsum(counts)[:-1])]


def _tokens(numbers: np.ndarray, kept: Kept) -> Tokens:
    """The columns of `reduce_logits` as what they mean."""
    right = numbers[:, 1].astype(bool) if kept >= Kept.RIGHT else None
    means, variances = (numbers[:, 2], numbers[:, 3]) if kept >= Kept.MOMENTS else (None, None)
    return Tokens(numbers[:, 0], right, means, variances)
