"""What the objectives of unlearning have in common: negative log-likelihoods of labels, and the reductions over them.

Shapes: `logits` (B, T, V) and `labels` (B, T), as a model with a right- or left-padded batch of B sequences gives and is given
them; a label of -100 stands on prompt and padding. The logits at t predict the label at t + 1, so that of T positions T - 1 are
"shifted": position t is counted where labels[t + 1] != -100. n_i is the number of those of sequence i.

Likelihoods need one number of each row of logits, its logsumexp, and one entry. So no table of log-probabilities is made: only
the rows that are counted are taken out, in at least float32.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

IGNORED = -100


class Answered(NamedTuple):
    """The N rows of logits (N, V) that predict a label, those labels (N), and where they are among the shifted, (B, T - 1)."""

    logits: torch.Tensor
    labels: torch.Tensor
    where: torch.Tensor


def precise(values: torch.Tensor) -> torch.Tensor:
    """The same values in float32, where they have fewer bits."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def answered(logits: torch.Tensor, labels: torch.Tensor) -> Answered:
    """The shifted positions that predict a label."""
    following = labels[:, 1:]
    where = following != IGNORED
    return Answered(precise(logits[:, :-1][where]), following[where], where)


def surprise(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """-log p of each label, (N), from rows of logits (N, V)."""
    return logits.logsumexp(-1) - logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1)


def spread(values: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """N values back in their places, (B, T - 1), with 0 in all others."""
    return values.new_zeros(where.shape).masked_scatter(where, values)


def mean_or_zero(values: torch.Tensor) -> torch.Tensor:
    """The mean, and 0 (with a gradient of 0) of no values."""
    return values.sum() / max(1, values.numel())


def token_mean(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """L = (sum_i S_i) / (sum_i n_i): the mean over all labels of the micro-batch, so that a long sequence weighs more."""
    picked = answered(logits, labels)
    return mean_or_zero(surprise(picked.logits, picked.labels))


def sequence_sums(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """S_i = sum_t -log p(y_t | y_<t) of each sequence, (B)."""
    picked = answered(logits, labels)
    return spread(surprise(picked.logits, picked.labels), picked.where).sum(-1)


def lengths(labels: torch.Tensor) -> torch.Tensor:
    """n_i: the labels of each sequence that something predicts, (B)."""
    return (labels[:, 1:] != IGNORED).sum(-1)


def sequence_means(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """S_i / n_i of each sequence, (B); 0 where it has no label."""
    return sequence_sums(logits, labels) / lengths(labels).clamp(min=1)
