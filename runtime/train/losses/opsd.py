"""On-policy self-distillation with privileged information (OPSD; Penaloza et al. 2026, arXiv 2602.04942).

Teacher T = p(. | s, I) and student S = p(. | s) are one model, as in `pi_distill.py`; here the answers are the student's own:

    J_OPSD = E_{o ~ S}[R] - beta KL(S || sg T)

Rewards are centred within the answers to one prompt and ratios to the student that sampled are clipped, as there. KL is the sum
over tokens of the divergence after what was sampled before. Where each is a sum over the vocabulary, it is differentiated, as
the paper has it: the student is drawn to the teacher token by token, and what an early token does to the divergence of later
ones teaches nothing. Where only the sampled token tells of the divergence, that gradient is 0 in the mean; there it is a part
of the reward, which is exact.

Shapes are those of `pi_distill.py`.
"""

from __future__ import annotations

import torch

from runtime.train.losses.pi_distill import Terms, clipped, divergence, tokens_of


def own_objective(
    teacher: torch.Tensor, student: torch.Tensor, tokens: torch.Tensor, sampled: torch.Tensor,
    advantages: torch.Tensor, mask: torch.Tensor, terms: Terms,
) -> torch.Tensor:  # fmt: skip
    """J_OPSD of each answer, (B), up to what has no gradient; `sampled` (B, L) is by the student, when it answered.

    `advantages` (B) are of R, or without `whole_kl` of R - beta KL, as at sampling.
    """
    found = clipped(tokens_of(student, tokens), sampled, advantages, mask, terms)
    if not terms.whole_kl:
        return found
    return found - terms.kl_coef * (divergence(student, teacher.detach(), tokens, True) * mask).sum(-1)
