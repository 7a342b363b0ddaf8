"""Negative preference optimisation (Zhang et al. 2024, arXiv 2404.05868):

    L = - (2 / beta) mean_i log sigmoid( - beta log( p(y_i | x_i) / p_start(y_i | x_i) ) )
      = - (2 / beta) mean_i log sigmoid( beta (S_i - S_i,start) )

over whole answers: S_i is the sum over a sequence (`sequences.sequence_sums`), and the start's needs no gradient.
"""

from __future__ import annotations

import torch
from torch.nn.functional import logsigmoid


def forget_loss(sums: torch.Tensor, start_sums: torch.Tensor, beta: float) -> torch.Tensor:
    """The loss from the model's and the start's sums of -log p, both (B)."""
    return -(2 / beta) * logsigmoid(beta * (sums - start_sums.detach())).mean()
