"""Cross-entropy unlearning (Yang 2025, arXiv 2503.01224): the target is the model's own distribution without the true token.

    L = mean_t H( sg softmax(z_t with z_t[y_t+1] = -inf), p_t ),      sg: a stop of the gradient

over the positions that predict a label, but for the first `ignored` of each sequence. There is no retain term.
"""

from __future__ import annotations

import torch

from runtime.train.losses.sequences import answered, mean_or_zero


def forget_loss(logits: torch.Tensor, labels: torch.Tensor, ignored: int) -> torch.Tensor:
    """The mean cross-entropy to the target; 0 where every answer has no more than `ignored` tokens."""
    picked = answered(logits, labels)
    kept = (picked.where.cumsum(-1) > ignored)[picked.where]
    moving, true = picked.logits[kept], picked.labels[kept].unsqueeze(-1)
    target = moving.detach().scatter(-1, true, -torch.inf).softmax(-1)
    return mean_or_zero(moving.logsumexp(-1) - (target * moving).sum(-1))
