"""Privileged-information distillation's objective, in float64: closed forms, and its gradient by finite differences.

A toy policy over three symbols and answers of two: every answer can be written down, so expectations are sums.
"""

from __future__ import annotations

import pytest
import torch

from runtime.train.losses.pi_distill import (
    Terms,
    alpha_at,
    centred,
    clipped,
    divergence,
    student_objective,
    teacher_objective,
    tokens_of,
    uneven,
)
from tests.runtime.policies import ANSWERS, BETA, WIDE, V, drawn_parameters, exact_kl, gradient, policies, rewards, slope


@pytest.fixture
def parameters() -> torch.Tensor:
    return drawn_parameters()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("length", [1, 2])
def test_the_teachers_gradient_is_that_of_its_objective(length: int, whole: bool, parameters: torch.Tensor) -> None:
    """J_T with the student held still, by its definition; and what is optimised, in the mean over what the teacher samples."""
    answers = ANSWERS[length]
    teacher_now, student_now = policies(parameters, answers)
    sampled, ones = tokens_of(teacher_now, answers), torch.ones(answers.shape, dtype=torch.float64)

    def definition(at: torch.Tensor) -> torch.Tensor:
        teacher, _ = policies(at, answers)
        return (tokens_of(teacher, answers).sum(-1).exp() * rewards(answers)).sum() - BETA * exact_kl(
            teacher, student_now, answers
        )

    def optimised(at: torch.Tensor) -> torch.Tensor:
        teacher, student = policies(at, answers)
        worth = rewards(answers) - BETA * divergence(teacher_now, student_now, answers, whole).sum(-1)
        each = teacher_objective(teacher, student, answers, sampled, worth, ones, Terms(BETA, 1, WIDE, whole))
        return (sampled.sum(-1).exp() * each).sum()

    assert torch.allclose(gradient(optimised, parameters), slope(definition, parameters), atol=1e-7)


@pytest.mark.parametrize("whole", [True, False])
def test_the_students_gradient_is_that_of_its_objective(whole: bool, parameters: torch.Tensor) -> None:
    """J_S with the teacher held still; answers of one token, where ratios of tokens are those of answers."""
    answers = ANSWERS[1]
    teacher_now, _ = policies(parameters, answers)
    sampled, ones = tokens_of(teacher_now, answers), torch.ones(answers.shape, dtype=torch.float64)

    def definition(at: torch.Tensor) -> torch.Tensor:
        _, student = policies(at, answers)
        return (tokens_of(student, answers).sum(-1).exp() * rewards(answers)).sum() - BETA * exact_kl(
            teacher_now, student, answers
        )

    def optimised(at: torch.Tensor) -> torch.Tensor:
        teacher, student = policies(at, answers)
        each = student_objective(teacher, student, answers, sampled, rewards(answers), ones, Terms(BETA, 1, WIDE, whole))
        return (sampled.sum(-1).exp() * each).sum()

    assert torch.allclose(gradient(optimised, parameters), slope(definition, parameters), atol=1e-7)


def test_the_students_pull_to_the_teacher_is_exact_for_longer_answers(parameters: torch.Tensor) -> None:
    answers = ANSWERS[2]
    teacher_now, _ = policies(parameters, answers)
    sampled, ones = tokens_of(teacher_now, answers), torch.ones(answers.shape, dtype=torch.float64)
    nothing = torch.zeros(len(answers), dtype=torch.float64)

    def optimised(at: torch.Tensor) -> torch.Tensor:
        teacher, student = policies(at, answers)
        each = student_objective(teacher, student, answers, sampled, nothing, ones, Terms(BETA, 1, WIDE, True))
        return (sampled.sum(-1).exp() * each).sum()

    expected = slope(lambda at: -BETA * exact_kl(teacher_now, policies(at, answers)[1], answers), parameters)
    assert torch.allclose(gradient(optimised, parameters), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slopes"),
    [
        (1.0, 2.0, 2.0, True), (1.1, 2.0, 2.2, True), (1.5, 2.0, 2.4, False), (0.5, 2.0, 1.0, True),
        (1.5, -2.0, -3.0, True), (0.5, -2.0, -1.6, False), (0.9, -2.0, -1.8, True),
    ],
)  # fmt: skip
def test_a_ratio_counts_as_far_as_the_clip(ratio: float, advantage: float, value: float, slopes: bool) -> None:
    log_probs = torch.tensor([[ratio]], dtype=torch.float64).log().requires_grad_()
    one = torch.ones((1, 1), dtype=torch.float64)
    found = clipped(
        log_probs, torch.zeros_like(one), torch.tensor([advantage], dtype=torch.float64), one, Terms(0, 0.2, 0.2, True)
    )
    assert found.item() == pytest.approx(value)
    found.sum().backward()
    assert log_probs.grad is not None and bool(log_probs.grad.item()) == slopes


def test_padding_counts_for_nothing(parameters: torch.Tensor) -> None:
    answers = ANSWERS[2]
    teacher, student = policies(parameters, answers)
    mask = torch.ones(answers.shape, dtype=torch.float64)
    mask[:, 1] = 0
    terms, sampled = Terms(BETA, 0.2, 0.2, True), tokens_of(teacher, answers)
    for objective in (teacher_objective, student_objective):
        whole = objective(teacher, student, answers, sampled, rewards(answers), mask, terms)
        short = objective(teacher[:, :1], student[:, :1], answers[:, :1], sampled[:, :1], rewards(answers), mask[:, :1], terms)
        assert torch.allclose(whole, short)


def test_kl_is_nothing_between_equals_and_both_estimators_agree_in_the_mean(parameters: torch.Tensor) -> None:
    answers = ANSWERS[1]
    teacher, student = policies(parameters, answers)
    assert torch.allclose(divergence(teacher, teacher, answers, True), torch.zeros(V, 1, dtype=torch.float64))
    weights = tokens_of(teacher, answers).exp()
    whole, sampled = (divergence(teacher, student, answers, kind) for kind in (True, False))
    assert whole.min() > 0
    assert torch.allclose((weights * sampled).sum(), whole[0, 0])


def test_rewards_are_centred_within_their_group() -> None:
    given = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    assert centred(given, 4, scale=False).tolist() == [0.25, -0.75, 0.25, 0.25, 0, 0, 0, 0]
    assert centred(given, 4, scale=True)[:2].tolist() == pytest.approx([0.25 / 0.5001, -0.75 / 0.5001])
    assert uneven(given, 4).tolist() == [True] * 4 + [False] * 4


def test_alpha_goes_straight_from_its_start_to_its_end() -> None:
    assert [alpha_at(update, 0.0, 0.5, 4) for update in (0, 1, 2, 4, 9)] == [0.0, 0.125, 0.25, 0.5, 0.5]
    assert alpha_at(0, 0.2, 1.0, 0) == 1.0
