"""Gradient difference (TOFU, arXiv 2401.06121; MUSE, arXiv 2407.06460), and the sum that all with a retain term share:

    L = gamma L_forget(F) + alpha L_retain(R)

For GradDiff itself L_forget is that of gradient ascent, and L_retain the token mean `nll`, or one of `retain.py`.
"""

from __future__ import annotations

import torch


def weighted(forget: torch.Tensor, retain: torch.Tensor, gamma: float, alpha: float) -> torch.Tensor:
    """The weighted sum of both losses."""
    return gamma * forget + alpha * retain
