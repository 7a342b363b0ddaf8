"""Self-distillation with adjusted logits (Dong et al. 2024, arXiv 2402.10052): the target is the start's own distribution with
beta taken from the logit of the true next token.

    L = mean_t H( softmax(z_start,t - beta onehot(y_t+1)), p_t )

The positions are an option:

    answer  those that predict a label
    all     all B (T - 1), prompt and padding among them. Where the label is -100, open-unlearning takes beta from the 100th
            token from the end of the vocabulary, since it indexes with the label; so the vocabulary must have 100 tokens.
"""

from __future__ import annotations

import torch

from runtime.train.losses.sequences import IGNORED, mean_or_zero, precise

POSITIONS = ("all", "answer")


def forget_loss(
    logits: torch.Tensor, start_logits: torch.Tensor, labels: torch.Tensor, beta: float, positions: str
) -> torch.Tensor:
    """The mean cross-entropy to the adjusted target; no gradient reaches the start's logits (B, T, V).

    `positions` is "all" (as published) or "answer". Raises ValueError for another, and for "all" with fewer than 100 tokens.
    """
    if positions not in POSITIONS:
        raise ValueError(f"positions: there is no {positions!r}; there are {', '.join(POSITIONS)}")
    following, size = labels[:, 1:], logits.shape[-1]
    if positions == "all" and size < -IGNORED:
        raise ValueError(f"positions all takes beta from the 100th token from the end, and there are {size} tokens")
    where = torch.ones_like(following, dtype=torch.bool) if positions == "all" else following != IGNORED
    picked, moving = following[where], precise(logits[:, :-1][where])
    lowered = torch.where(picked == IGNORED, size + IGNORED, picked).unsqueeze(-1)
    adjusted = precise(start_logits[:, :-1][where]).detach().clone()
    adjusted.scatter_add_(-1, lowered, torch.full_like(lowered, -beta, dtype=adjusted.dtype))
    return mean_or_zero(moving.logsumexp(-1) - (adjusted.softmax(-1) * moving).sum(-1))
