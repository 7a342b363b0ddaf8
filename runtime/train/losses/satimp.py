"""Saturation and importance reweighting (Yang et al. 2025, arXiv 2505.11953): gradient ascent whose tokens are weighted.

    L = - mean_t sg[ p_t^beta1 (1 - p_t)^beta2 ] (-log p_t),      sg: a stop of the gradient

where p_t is the probability of label t, and the mean is over all labels of the micro-batch.
"""

from __future__ import annotations

import torch

from runtime.train.losses.sequences import answered, mean_or_zero, surprise


def forget_loss(logits: torch.Tensor, labels: torch.Tensor, beta1: float, beta2: float) -> torch.Tensor:
    """Minus the weighted token mean of the negative log-likelihood."""
    picked = answered(logits, labels)
    each = surprise(picked.logits, picked.labels)
    held = each.detach().clamp(min=0)  # a probability just above 1 by rounding would have no power
    return -mean_or_zero((-beta1 * held).exp() * (-(-held).expm1()) ** beta2 * each)
