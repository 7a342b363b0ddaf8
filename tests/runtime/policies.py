"""A toy policy over three symbols, in float64: every answer of two can be written down, so expectations are sums."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch

from runtime.train.losses.pi_distill import tokens_of

V, WIDE = 3, 1e9
BETA = 0.3
ANSWERS = {length: torch.tensor(list(itertools.product(range(V), repeat=length))) for length in (1, 2)}


def policies(parameters: torch.Tensor, answers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Teacher's and student's log-probabilities (B, L, V) by shared parameters, of which either has some to itself."""
    first, second = parameters[: 2 * V].view(2, V), parameters[2 * V :].view(2, V, V)
    found = []
    for who in (0, 1):
        steps = [(first[who] + 0.5 * first[0]).expand(len(answers), V)]
        if answers.shape[1] == 2:
            steps.append((second[who] + 0.5 * second[1])[answers[:, 0]])
        found.append(torch.stack(steps, 1).log_softmax(-1))
    return found[0], found[1]


def drawn_parameters() -> torch.Tensor:
    return torch.randn(2 * V + 2 * V * V, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def rewards(answers: torch.Tensor) -> torch.Tensor:
    return (answers.sum(1) % 2).double() + 0.25 * answers[:, 0]


def slope(objective: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor) -> torch.Tensor:
    """The gradient by central differences."""
    found, step = torch.zeros_like(at), 1e-6
    for place in range(len(at)):
        move = torch.zeros_like(at)
        move[place] = step
        found[place] = (objective(at + move) - objective(at - move)) / (2 * step)
    return found


def gradient(objective: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor) -> torch.Tensor:
    moved = at.clone().requires_grad_()
    objective(moved).backward()
    assert moved.grad is not None
    return moved.grad


def exact_kl(one: torch.Tensor, other: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """KL of whole answers, from its definition."""
    left, right = tokens_of(one, answers).sum(-1), tokens_of(other, answers).sum(-1)
    return (left.exp() * (left - right)).sum()
