"""Primal-dual unlearning (Entesari et al. 2025, arXiv 2506.05314): logits are made flat on the forget set, while the loss on
the retain set stays below a bound eps.

    L = gamma mean_t (max_v z_t - mean_v z_t)^2 + lambda (L_retain(R) - eps)
    lambda <- max(0, lambda + eta (L_retain(R) - eps))

The positions of the first mean are an option:

    unshifted  where a label stands at t, as open-unlearning has it: the first answer token's prediction is left out, and what
               follows the last token is taken in
    shifted    where the logits at t predict a label
"""

from __future__ import annotations

import torch

from runtime.train.losses.sequences import IGNORED, mean_or_zero, precise

POSITIONS = ("unshifted", "shifted")


def forget_loss(logits: torch.Tensor, labels: torch.Tensor, positions: str) -> torch.Tensor:
    """How far the largest logit is above their mean, squared; `positions` is "unshifted" (as published) or "shifted".

    Raises ValueError for another.
    """
    if positions not in POSITIONS:
        raise ValueError(f"positions: there is no {positions!r}; there are {', '.join(POSITIONS)}")
    picked = logits[labels != IGNORED] if positions == "unshifted" else logits[:, :-1][labels[:, 1:] != IGNORED]
    held = precise(picked)
    return mean_or_zero((held.amax(-1) - held.mean(-1)) ** 2)


def next_dual(dual: float, retain: float, bound: float, step_size: float) -> float:
    """lambda after one step up the dual's gradient, never below 0."""
    return max(0.0, dual + step_size * (retain - bound))
