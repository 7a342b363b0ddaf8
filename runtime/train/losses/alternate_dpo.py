"""Preference for another answer over the one to be forgotten: refusals (IdkDPO; TOFU, arXiv 2401.06121), or answers of the
model's own (AltPO; arXiv 2409.13474), by direct preference optimisation (arXiv 2305.18290):

    L = - c mean_i log sigmoid( beta [ (S_i - S_i,start)(answer) - (S_i - S_i,start)(alternate) ] )

with sums S over a sequence (`sequences.sequence_sums`). c is 1 in DPO, and 2 / beta, as in NPO, in open-unlearning.
"""

from __future__ import annotations

import torch
from torch.nn.functional import logsigmoid

FACTORS = ("two_over_beta", "one")


def forget_loss(
    sums: torch.Tensor, start_sums: torch.Tensor, other_sums: torch.Tensor, other_start_sums: torch.Tensor,
    beta: float, factor: str,
) -> torch.Tensor:  # fmt: skip
    """The loss from sums of -log p, each (B): of the answer by model and start, then of the alternate by both.

    `factor` is "two_over_beta" (as published) or "one". Raises ValueError for another.
    """
    if factor not in FACTORS:
        raise ValueError(f"factor: there is no {factor!r}; there are {', '.join(FACTORS)}")
    scale = 2 / beta if factor == "two_over_beta" else 1.0
    margin = (sums - start_sums.detach()) - (other_sums - other_start_sums.detach())
    return -scale * logsigmoid(beta * margin).mean()
