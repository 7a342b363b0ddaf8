"""Weighted gradient ascent (Wang et al. 2025, arXiv 2502.19301): tokens that the model is surer of weigh more.

    L = - mean_t sg[ p_t^beta ] (-log p_t),      sg: a stop of the gradient

where p_t is the probability of label t, and the mean is over all labels of the micro-batch; beta = 0 is gradient ascent.
"""

from __future__ import annotations

import torch

from runtime.train.losses.sequences import answered, mean_or_zero, surprise


def forget_loss(logits: torch.Tensor, labels: torch.Tensor, beta: float) -> torch.Tensor:
    """Minus the weighted token mean of the negative log-likelihood."""
    picked = answered(logits, labels)
    each = surprise(picked.logits, picked.labels)
    return -mean_or_zero((-beta * each.detach()).exp() * each)
