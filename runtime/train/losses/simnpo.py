"""Simple negative preference optimisation (Fan et al. 2024, arXiv 2410.07163), which needs no reference model:

    L = - (2 / beta) mean_i log sigmoid( beta (S_i / n_i - delta) )

S_i / n_i is the mean over a sequence (`sequences.sequence_means`). The paper has its margin gamma outside the product, as
- (beta / n) log p - gamma; so its gamma is beta delta here, and our `gamma` is the weight of this loss.
"""

from __future__ import annotations

import torch
from torch.nn.functional import logsigmoid


def forget_loss(means: torch.Tensor, beta: float, delta: float) -> torch.Tensor:
    """The loss from each sequence's mean of -log p, (B)."""
    return -(2 / beta) * logsigmoid(beta * (means - delta)).mean()
