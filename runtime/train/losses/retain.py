"""Losses on the retain set R, by the names that a config's `retain_loss` has (shapes as in `sequences.py`).

`nll` is `sequences.token_mean`; `embed_diff` belongs to RMU and is in `rmu.py`. The other two are KL(start || model), which
GradDiff has beside the likelihood in TOFU (arXiv 2401.06121):

    kl         mean over all B T positions of sum_v p_start(v) (log p_start(v) - log p(v)): prompt, padding and the last
               position count as answers do. This is how open-unlearning has it.
    kl_answer  the same, over the positions that predict a label.
"""

from __future__ import annotations

import torch

from runtime.train.losses.sequences import IGNORED, mean_or_zero, precise


def divergence(start: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """KL(start || model) at each of N positions, (N), from logits (N, V); no gradient reaches the start's.

    It is sum_v p_start (z_start - z) + logsumexp(z) - logsumexp(z_start), for which one softmax is kept, no logarithm.
    """
    held, moving = precise(start.detach()), precise(logits)
    weights = held.softmax(-1)
    return (weights * (held - moving)).sum(-1) + moving.logsumexp(-1) - held.logsumexp(-1)


def kl_everywhere(start: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """`kl`: the mean over every position of (B, T, V), whatever stands there."""
    return mean_or_zero(divergence(start.flatten(0, 1), logits.flatten(0, 1)))


def kl_answers(start: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """`kl_answer`: the mean over the positions that predict a label."""
    where = labels[:, 1:] != IGNORED
    return mean_or_zero(divergence(start[:, :-1][where], logits[:, :-1][where]))
