"""Privileged-information distillation (Penaloza et al. 2026, arXiv 2602.04942).

One model is teacher T = p(. | s, I), who sees privileged information I, and student S = p(. | s), who does not. With sg for a
stop of the gradient, R the reward of an answer o, and answers sampled from the teacher:

    J_T = E_{o ~ T}[R] - beta KL(T || sg S)
    J_S = E_{o ~ T}[(S / sg T) R] - beta KL(sg T || S)
    J   = alpha J_T + (1 - alpha) J_S

As in GRPO (arXiv 2402.03300) rewards are centred within the answers to one prompt, ratios are taken token by token, and what is
beyond the clip counts no more. The teacher's KL is a part of its reward, as the paper has it. Where it is the sum over the
vocabulary, the reward alone would leave out the gradient of that sum itself, so it is differentiated, too: together they are
the gradient of J_T (which the tests show by enumeration). The student's KL is differentiated; its answers are the teacher's, so
that is its whole gradient.

Shapes: B answers of at most L tokens over a vocabulary of V; `mask` (B, L) is 1 for an answer's own tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

TINY = 1e-4  # added to a standard deviation


@dataclass(frozen=True)
class Terms:
    """How the objective is put together: beta, how far ratios count, and whether KL is summed over the vocabulary."""

    kl_coef: float
    clip_low: float
    clip_high: float
    whole_kl: bool


def tokens_of(log_probs: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """What each sampled token was given: from (B, L, V) and (B, L) to (B, L)."""
    return log_probs.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


def divergence(teacher: torch.Tensor, student: torch.Tensor, tokens: torch.Tensor, whole: bool) -> torch.Tensor:
    """KL(teacher || student) at each token, (B, L), from log-probabilities (B, L, V).

    The whole sum, or log T - log S of the sampled token.
    """
    if whole:
        return (teacher.exp() * (teacher - student)).sum(-1)
    return tokens_of(teacher, tokens) - tokens_of(student, tokens)


def centred(rewards: torch.Tensor, group: int, scale: bool) -> torch.Tensor:
    """Rewards (B) less the mean of their group of `group` neighbours; with `scale` over its standard deviation."""
    grouped = rewards.view(-1, group)
    found = grouped - grouped.mean(1, keepdim=True)
    if scale:
        found = found / (grouped.std(1, keepdim=True) + TINY)
    return found.view(-1)


def uneven(rewards: torch.Tensor, group: int) -> torch.Tensor:
    """Whether each answer's group has answers of different rewards, (B): from the others nothing is learned."""
    grouped = rewards.view(-1, group)
    differs = (grouped != grouped[:, :1]).any(1, keepdim=True)
    return differs.expand_as(grouped).reshape(-1)


def clipped(
    log_probs: torch.Tensor, sampled: torch.Tensor, advantages: torch.Tensor, mask: torch.Tensor, terms: Terms
) -> torch.Tensor:
    """The clipped surrogate of each answer, (B): sum over tokens of min(r A, clip(r) A), where r = exp(log_probs - sampled).

    `log_probs` and `sampled` (B, L) are those of the answer's tokens by the policy that learns and by the one that sampled.
    """
    ratio = (log_probs - sampled).exp()
    bounded = ratio.clamp(1 - terms.clip_low, 1 + terms.clip_high)
    each = advantages.unsqueeze(-1)
    return (torch.minimum(ratio * each, bounded * each) * mask).sum(-1)


def teacher_objective(
    teacher: torch.Tensor, student: torch.Tensor, tokens: torch.Tensor, sampled: torch.Tensor,
    advantages: torch.Tensor, mask: torch.Tensor, terms: Terms,
) -> torch.Tensor:  # fmt: skip
    """J_T of each answer, (B), up to what has no gradient; `advantages` (B) are of R - beta KL, as at sampling."""
    found = clipped(tokens_of(teacher, tokens), sampled, advantages, mask, terms)
    if not terms.whole_kl:
        return found  # the gradient of log T is 0 in the mean
    return found - terms.kl_coef * (divergence(teacher, student.detach(), tokens, True) * mask).sum(-1)


def student_objective(
    teacher: torch.Tensor, student: torch.Tensor, tokens: torch.Tensor, sampled: torch.Tensor,
    advantages: torch.Tensor, mask: torch.Tensor, terms: Terms,
) -> torch.Tensor:  # fmt: skip
    """J_S of each answer, (B), up to what has no gradient; `advantages` (B) are of R alone."""
    found = clipped(tokens_of(student, tokens), sampled, advantages, mask, terms)
    return found - terms.kl_coef * (divergence(teacher.detach(), student, tokens, terms.whole_kl) * mask).sum(-1)


def alpha_at(update: int, start: float, end: float, updates: int) -> float:
    """The teacher's weight after so many updates: from `start` straight to `end` over `updates`, and then `end`."""
    return end if update >= updates else start + (end - start) * update / updates
