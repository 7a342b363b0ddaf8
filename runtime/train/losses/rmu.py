"""Representation misdirection for unlearning (Li et al. 2024, arXiv 2403.03218), on the output of one module of the model.

With a_it (width d) that output at position t of sequence i, m_it = 1 where a label stands at t itself (not shifted), and
s_i = sum_t m_it mean_d (a_it - c)^2, n_i = sum_t m_it, where c is the control vector on the forget set and, for `embed_diff`,
the start's own output on the retain set:

    mean_per_row      mean_i s_i / n_i
    product_of_means  (mean_i s_i) (mean_i 1 / n_i), which open-unlearning computes: there a division of (B) by (B, 1) makes
                      (B, B) before the mean. Both are equal where all n_i are, or B = 1.

The control vector is coeff r / ||r|| with r uniform in [0, 1)^d, drawn once.
"""

from __future__ import annotations

import torch

from runtime.train.losses.sequences import IGNORED, precise

NORMALISATIONS = ("product_of_means", "mean_per_row")


def control_vector(width: int, coeff: float, seed: int) -> torch.Tensor:
    """The direction (d), float32, of norm `coeff`; the same for the same seed."""
    drawn = torch.rand(width, generator=torch.Generator().manual_seed(seed))
    found: torch.Tensor = coeff * drawn / drawn.norm()
    return found


def distance(hidden: torch.Tensor, target: torch.Tensor, labels: torch.Tensor, normalisation: str) -> torch.Tensor:
    """The squared distance of hidden states (B, T, d) to `target`, (d) or (B, T, d), which gets no gradient.

    `normalisation` is "product_of_means" (as published) or "mean_per_row"; ValueError for another.
    """
    if normalisation not in NORMALISATIONS:
        raise ValueError(f"normalisation: there is no {normalisation!r}; there are {', '.join(NORMALISATIONS)}")
    mask = labels != IGNORED
    each = ((precise(hidden) - precise(target.detach())) ** 2).mean(-1)
    sums, counts = (each * mask).sum(-1), mask.sum(-1).clamp(min=1).to(each.dtype)
    return (sums / counts).mean() if normalisation == "mean_per_row" else sums.mean() * (1 / counts).mean()
