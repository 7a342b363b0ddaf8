"""Gradient ascent on the forget set F, the baseline of TOFU (arXiv 2401.06121) and MUSE (arXiv 2407.06460):

    L = - L_tok(F),

where L_tok is the token mean over the micro-batch (`sequences.token_mean`). There is no retain term.
"""

from __future__ import annotations

import torch

from runtime.train.losses.sequences import token_mean


def forget_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Minus the token mean of the negative log-likelihood."""
    return -token_mean(logits, labels)
