"""The KL divergence of two language models at each token of an answer, over the whole vocabulary.

For models p and q and answers y that end by themselves or at a limit, the chain rule gives

    KL(p || q) = E_{y ~ p} sum_t KL(p(. | y_<t) || q(. | y_<t))

so the mean over answers sampled from p of these sums is an unbiased estimate of KL(p || q). Each sum is exact given the tokens
before, and so varies less than log p(y) - log q(y) would (Rao-Blackwell; Amini et al. 2025, arXiv 2504.10637).
"""

from __future__ import annotations

import torch


def token_kl(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """KL(first || second) in nats from log-probabilities (..., V), to (...). What `first` never says counts nothing."""
    differences = torch.where(first == -torch.inf, 0.0, first - second)
    return (first.exp() * differences).sum(-1)


def answer_kl(first: torch.Tensor, second: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The sum of `token_kl` over each answer's own tokens, (B), from logits (B, L, V); `mask` (B, L) is 1 for these tokens.

    The logits at a place are those from which the answer's token there was drawn, its end token's among them.
    """
    found = token_kl(first.log_softmax(-1), second.log_softmax(-1))
    return torch.where(mask.bool(), found, 0.0).sum(-1)
