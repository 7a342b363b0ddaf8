"""On-policy self-distillation's objective, in float64: its gradient against the definition, by finite differences.

Policy and answers are those of `policies.py`.
"""

from __future__ import annotations

import pytest
import torch

from runtime.train.losses.opsd import own_objective
from runtime.train.losses.pi_distill import Terms, divergence, tokens_of
from tests.runtime.policies import ANSWERS, BETA, WIDE, drawn_parameters, exact_kl, gradient, policies, rewards, slope


@pytest.fixture
def parameters() -> torch.Tensor:
    return drawn_parameters()


def optimised(at: torch.Tensor, answers: torch.Tensor, now: torch.Tensor, whole: bool, earned: float = 1.0) -> torch.Tensor:
    """What is optimised, in the mean over what the student samples with the parameters `now`; rewards count `earned` times."""
    teacher_now, student_now = policies(now, answers)
    sampled, ones = tokens_of(student_now, answers), torch.ones(answers.shape, dtype=torch.float64)
    worth = earned * rewards(answers)
    if not whole:
        worth = worth - BETA * divergence(student_now, teacher_now, answers, False).sum(-1)
    teacher, student = policies(at, answers)
    each = own_objective(teacher, student, answers, sampled, worth, ones, Terms(BETA, 1, WIDE, whole))
    return (sampled.sum(-1).exp() * each).sum()


def definition(at: torch.Tensor, answers: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
    """J_OPSD with the teacher held still."""
    teacher_now, _ = policies(now, answers)
    _, student = policies(at, answers)
    earned = (tokens_of(student, answers).sum(-1).exp() * rewards(answers)).sum()
    return earned - BETA * exact_kl(student, teacher_now, answers)


@pytest.mark.parametrize(("length", "whole"), [(1, True), (1, False), (2, False)])
def test_its_gradient_is_that_of_the_objective(length: int, whole: bool, parameters: torch.Tensor) -> None:
    """Over the vocabulary for answers of one token, and from the sampled tokens for any."""
    answers = ANSWERS[length]
    found = gradient(lambda at: optimised(at, answers, parameters, whole), parameters)
    assert torch.allclose(found, slope(lambda at: definition(at, answers, parameters), parameters), atol=1e-7)


def test_over_the_vocabulary_each_token_is_drawn_to_the_teacher_by_itself(parameters: torch.Tensor) -> None:
    """For longer answers that is the divergence after prefixes that are sampled and not differentiated, as in the paper."""
    answers = ANSWERS[2]
    teacher_now, student_now = policies(parameters, answers)
    weights = tokens_of(student_now, answers).sum(-1).exp()

    def token_by_token(at: torch.Tensor) -> torch.Tensor:
        _, student = policies(at, answers)
        each = (student.exp() * (student - teacher_now)).sum(-1).sum(-1)
        return -BETA * (weights * each).sum()

    found = gradient(lambda at: optimised(at, answers, parameters, True, earned=0.0), parameters)
    assert torch.allclose(found, slope(token_by_token, parameters), atol=1e-7)
    whole = slope(lambda at: -BETA * exact_kl(policies(at, answers)[1], teacher_now, answers), parameters)
    assert not torch.allclose(found, whole, atol=1e-3)


@pytest.mark.parametrize("whole", [True, False])
def test_nothing_flows_into_the_teacher(whole: bool, parameters: torch.Tensor) -> None:
    answers = ANSWERS[2]
    teacher, student = (made.detach().requires_grad_() for made in policies(parameters, answers))
    sampled, ones = tokens_of(student, answers).detach(), torch.ones(answers.shape, dtype=torch.float64)
    own_objective(teacher, student, answers, sampled, rewards(answers), ones, Terms(BETA, 0.2, 0.2, whole)).sum().backward()
    assert teacher.grad is None
    assert student.grad is not None and bool(student.grad.abs().sum() > 0)


@pytest.mark.parametrize("whole", [True, False])
def test_padding_counts_for_nothing(whole: bool, parameters: torch.Tensor) -> None:
    answers = ANSWERS[2]
    teacher, student = policies(parameters, answers)
    mask = torch.ones(answers.shape, dtype=torch.float64)
    mask[:, 1] = 0
    terms, sampled = Terms(BETA, 0.2, 0.2, whole), tokens_of(student, answers)
    padded = own_objective(teacher, student, answers, sampled, rewards(answers), mask, terms)
    short = own_objective(teacher[:, :1], student[:, :1], answers[:, :1], sampled[:, :1], rewards(answers), mask[:, :1], terms)
    assert torch.allclose(padded, short)


def test_a_student_that_is_its_teacher_learns_from_rewards_alone(parameters: torch.Tensor) -> None:
    """Closed form: where both agree, the divergence is least and its slope 0, so what is left is the policy gradient."""
    answers = ANSWERS[1]
    _, student = policies(parameters, answers)
    log_probs = student.detach().requires_grad_()
    sampled, ones = tokens_of(student, answers), torch.ones(answers.shape, dtype=torch.float64)
    now = log_probs.log_softmax(-1)
    each = own_objective(now.detach(), now, answers, sampled, rewards(answers), ones, Terms(BETA, 1, WIDE, True))
    (sampled.sum(-1).exp() * each).sum().backward()
    probabilities = student[0, 0].exp()
    expected = probabilities * (rewards(answers) - (probabilities * rewards(answers)).sum())
    assert log_probs.grad is not None
    assert torch.allclose(log_probs.grad.sum((0, 1)), expected, atol=1e-9)
