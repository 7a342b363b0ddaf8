"""The objectives of unlearning against sums written out in Python's own float64, on ragged, padded batches.

Nothing of PyTorch is in the oracles: a probability is exp(z) over a sum of exp(z), and every mean is written as its paper, or
the published code, has it. Gradients are held against finite differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest
import torch

from runtime.train.losses import (
    alternate_dpo,
    ceu,
    grad_ascent,
    grad_diff,
    npo,
    pdu,
    retain,
    rmu,
    satimp,
    sequences,
    simnpo,
    undial,
    wga,
)  # fmt: skip

VOCABULARY = 103
IGNORED = -100
CLOSE = {"rel": 1e-10, "abs": 1e-10}
Rows = list[list[list[float]]]  # one number a sequence, position and token
Labels = list[list[int]]


class Batch(NamedTuple):
    """Logits of a model and of its start, and labels with prompts and padding in them."""

    logits: torch.Tensor
    start: torch.Tensor
    labels: torch.Tensor


def batch(seed: int = 0, size: int = VOCABULARY, left: bool = False) -> Batch:
    """Four sequences of 9, 6, 4 and 3 tokens with prompts of 3, 4, 1 and 2, padded to 9."""
    generator = torch.Generator().manual_seed(seed)
    logits, start = (3 * torch.randn(4, 9, size, generator=generator, dtype=torch.float64) for _ in range(2))
    labels = torch.full((4, 9), IGNORED)
    for row, (length, prompt) in enumerate([(9, 3), (6, 4), (4, 1), (3, 2)]):
        begin = 9 - length if left else 0
        labels[row, begin + prompt : begin + length] = torch.randint(size, (length - prompt,), generator=generator)
    return Batch(logits, start, labels)


@pytest.fixture(params=["padded on the right", "padded on the left"])
def data(request: pytest.FixtureRequest) -> Batch:
    return batch(seed=7, left=request.param == "padded on the left")


# ---- the oracles' own arithmetic ---------------------------------------------------------------------------------------


def probabilities(row: Sequence[float]) -> list[float]:
    top = max(row)
    powers = [math.exp(value - top) for value in row]
    return [power / math.fsum(powers) for power in powers]


def log_probabilities(row: Sequence[float]) -> list[float]:
    top = max(row)
    total = top + math.log(math.fsum(math.exp(value - top) for value in row))
    return [value - total for value in row]


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value)) if value > 0 else value - math.log1p(math.exp(value))


def answer_rows(logits: torch.Tensor, labels: torch.Tensor) -> list[list[tuple[list[float], int]]]:
    """Of each sequence the rows of logits that predict a label, with it."""
    rows, wanted = logits.tolist(), labels.tolist()
    return [
        [(rows[i][t], wanted[i][t + 1]) for t in range(len(wanted[i]) - 1) if wanted[i][t + 1] != IGNORED]
        for i in range(len(wanted))
    ]


def nll(logits: torch.Tensor, labels: torch.Tensor) -> list[list[float]]:
    """-log p of each label of each sequence."""
    return [[-log_probabilities(row)[label] for row, label in pairs] for pairs in answer_rows(logits, labels)]


def flat(values: Sequence[Sequence[float]]) -> list[float]:
    return [value for each in values for value in each]


def cross_entropy(target: Sequence[float], row: Sequence[float]) -> float:
    return -math.fsum(p * q for p, q in zip(target, log_probabilities(row), strict=True) if p > 0)


def kl(start: Sequence[float], row: Sequence[float]) -> float:
    held, moving = log_probabilities(start), log_probabilities(row)
    return math.fsum(math.exp(p) * (p - q) for p, q in zip(held, moving, strict=True))


# ---- reductions --------------------------------------------------------------------------------------------------------


def test_the_token_mean_is_over_all_labels_of_the_micro_batch(data: Batch) -> None:
    expected = mean(flat(nll(data.logits, data.labels)))
    assert float(sequences.token_mean(data.logits, data.labels)) == pytest.approx(expected, **CLOSE)
    of_means = mean([mean(each) for each in nll(data.logits, data.labels)])
    assert abs(expected - of_means) > 0.01


def test_sums_and_means_are_of_each_sequence(data: Batch) -> None:
    each = nll(data.logits, data.labels)
    assert sequences.sequence_sums(data.logits, data.labels).tolist() == pytest.approx(
        [math.fsum(one) for one in each], **CLOSE
    )
    assert sequences.sequence_means(data.logits, data.labels).tolist() == pytest.approx([mean(one) for one in each], **CLOSE)
    assert sequences.lengths(data.labels).tolist() == [6, 2, 3, 1]


def test_what_has_no_label_counts_nothing() -> None:
    logits, labels = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True), torch.full((2, 3), IGNORED)
    found = [
        sequences.token_mean(logits, labels), sequences.sequence_means(logits, labels).sum(),
        ceu.forget_loss(logits, labels, 0), wga.forget_loss(logits, labels, 1.0), pdu.forget_loss(logits, labels, "unshifted"),
        rmu.distance(logits, torch.zeros(5), labels, "product_of_means"),
    ]  # fmt: skip
    assert [one.item() for one in found] == [0.0] * 6
    torch.stack([one.double() for one in found]).sum().backward()
    assert logits.grad is not None and not logits.grad.any()


def test_few_bits_are_summed_in_float32() -> None:
    made = batch(3)
    coarse = made.logits.bfloat16()
    found = sequences.token_mean(coarse, made.labels)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(mean(flat(nll(coarse.double(), made.labels))), rel=1e-6)


# ---- losses on the forget set ------------------------------------------------------------------------------------------


def test_gradient_ascent(data: Batch) -> None:
    expected = -mean(flat(nll(data.logits, data.labels)))
    assert float(grad_ascent.forget_loss(data.logits, data.labels)) == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize("beta", [0.1, 1.0, 4.0])
def test_npo(data: Batch, beta: float) -> None:
    model, start = ([math.fsum(one) for one in nll(rows, data.labels)] for rows in (data.logits, data.start))
    expected = -(2 / beta) * mean([log_sigmoid(beta * (s - r)) for s, r in zip(model, start, strict=True)])
    sums = [sequences.sequence_sums(rows, data.labels) for rows in (data.logits, data.start)]
    assert float(npo.forget_loss(sums[0], sums[1], beta)) == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize(("beta", "delta"), [(4.5, 0.0), (0.5, 1.25)])
def test_simnpo(data: Batch, beta: float, delta: float) -> None:
    expected = -(2 / beta) * mean([log_sigmoid(beta * (mean(one) - delta)) for one in nll(data.logits, data.labels)])
    means = sequences.sequence_means(data.logits, data.labels)
    assert float(simnpo.forget_loss(means, beta, delta)) == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize("factor", ["two_over_beta", "one"])
def test_preference_for_alternates(data: Batch, factor: str) -> None:
    other, beta = batch(8), 0.3
    s, s_start = ([math.fsum(one) for one in nll(rows, data.labels)] for rows in (data.logits, data.start))
    a, a_start = ([math.fsum(one) for one in nll(rows, other.labels)] for rows in (other.logits, other.start))
    margins = [-(a[i] - a_start[i]) + (s[i] - s_start[i]) for i in range(4)]
    scale = 2 / beta if factor == "two_over_beta" else 1
    expected = -scale * mean([log_sigmoid(beta * margin) for margin in margins])
    given = [sequences.sequence_sums(rows, data.labels) for rows in (data.logits, data.start)]
    given += [sequences.sequence_sums(rows, other.labels) for rows in (other.logits, other.start)]
    assert float(alternate_dpo.forget_loss(*given, beta, factor)) == pytest.approx(expected, **CLOSE)


def test_plain_dpo_is_another_packages_dpo(data: Batch) -> None:
    """With `factor: one` it is -log sigmoid(beta ((log p - log p_start)(chosen) - the same of the rejected))."""
    given = [torch.tensor([value], dtype=torch.float64) for value in (5.0, 4.0, 3.0, 3.5)]
    expected = -log_sigmoid(0.1 * ((-3.0 + 3.5) - (-5.0 + 4.0)))
    assert float(alternate_dpo.forget_loss(*given, 0.1, "one")) == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize("normalisation", ["product_of_means", "mean_per_row"])
@pytest.mark.parametrize("whole", [False, True], ids=["to a direction", "to the start"])
def test_rmu(data: Batch, normalisation: str, whole: bool) -> None:
    hidden = torch.randn(4, 9, 5, dtype=torch.float64)
    target = torch.randn(4, 9, 5, dtype=torch.float64) if whole else rmu.control_vector(5, 2.0, 3).double()
    held = target.tolist() if whole else [[target.tolist()] * 9] * 4
    sums, counts = [], []
    for i, row in enumerate(data.labels.tolist()):
        places = [t for t, label in enumerate(row) if label != IGNORED]  # not shifted
        each = [mean([(a - c) ** 2 for a, c in zip(hidden[i, t].tolist(), held[i][t], strict=True)]) for t in places]
        sums.append(math.fsum(each))
        counts.append(len(places))
    per_row = mean([s / n for s, n in zip(sums, counts, strict=True)])
    broadcast = mean([s / n for s in sums for n in counts])  # B x B, then the mean, as the published code does it
    expected = per_row if normalisation == "mean_per_row" else broadcast
    assert float(rmu.distance(hidden, target, data.labels, normalisation)) == pytest.approx(expected, **CLOSE)
    assert abs(per_row - broadcast) > 1e-3


def test_both_forms_of_rmu_are_one_for_rows_of_one_length() -> None:
    hidden, labels = torch.randn(3, 4, 5, dtype=torch.float64), torch.ones(3, 4, dtype=torch.long)
    one, other = (rmu.distance(hidden, torch.zeros(5), labels, name) for name in rmu.NORMALISATIONS)
    assert float(one) == pytest.approx(float(other), **CLOSE)


def test_the_control_vector_has_its_norm_and_no_negative_part_and_is_the_seeds() -> None:
    vector = rmu.control_vector(64, 6.5, 11)
    assert float(vector.norm()) == pytest.approx(6.5, rel=1e-5)
    assert bool((vector >= 0).all()) and vector.dtype == torch.float32
    assert torch.equal(vector, rmu.control_vector(64, 6.5, 11)) and not torch.equal(vector, rmu.control_vector(64, 6.5, 12))


@pytest.mark.parametrize("positions", ["all", "answer"])
def test_undial(data: Batch, positions: str) -> None:
    beta, found = 10.0, []
    rows, held, labels = data.logits.tolist(), data.start.tolist(), data.labels.tolist()
    for i in range(4):
        for t in range(8):
            label = labels[i][t + 1]
            if positions == "answer" and label == IGNORED:
                continue
            lowered = list(held[i][t])
            lowered[label] -= beta  # Python, too, takes -100 for the 100th from the end
            found.append(cross_entropy(probabilities(lowered), rows[i][t]))
    expected = mean(found)
    assert len(found) == (32 if positions == "all" else 12)
    loss = undial.forget_loss(data.logits, data.start, data.labels, beta, positions)
    assert float(loss) == pytest.approx(expected, **CLOSE)


def test_undials_wrapped_label_needs_a_hundred_tokens() -> None:
    small = batch(size=99)
    with pytest.raises(ValueError, match="there are 99 tokens"):
        undial.forget_loss(small.logits, small.start, small.labels, 10.0, "all")
    assert float(undial.forget_loss(small.logits, small.start, small.labels, 10.0, "answer")) > 0


@pytest.mark.parametrize("ignored", [0, 1, 2])
def test_ceu(data: Batch, ignored: int) -> None:
    found = []
    for pairs in answer_rows(data.logits, data.labels):
        for row, label in pairs[ignored:]:
            target = probabilities([value for place, value in enumerate(row) if place != label])
            target.insert(label, 0.0)
            found.append(cross_entropy(target, row))
    assert float(ceu.forget_loss(data.logits, data.labels, ignored)) == pytest.approx(mean(found), **CLOSE)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 3.0])
def test_wga(data: Batch, beta: float) -> None:
    expected = -mean([math.exp(-each) ** beta * each for each in flat(nll(data.logits, data.labels))])
    assert float(wga.forget_loss(data.logits, data.labels, beta)) == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize(("beta1", "beta2"), [(5.0, 1.0), (1.0, 0.0), (0.0, 2.0), (0.0, 0.0)])
def test_satimp(data: Batch, beta1: float, beta2: float) -> None:
    weight = [(math.exp(-each) ** beta1 * (1 - math.exp(-each)) ** beta2, each) for each in flat(nll(data.logits, data.labels))]
    expected = -mean([w * each for w, each in weight])
    assert float(satimp.forget_loss(data.logits, data.labels, beta1, beta2)) == pytest.approx(expected, **CLOSE)


def test_satimp_without_saturation_is_wga_and_wga_without_weights_is_ascent(data: Batch) -> None:
    assert torch.allclose(
        satimp.forget_loss(data.logits, data.labels, 2.0, 0.0), wga.forget_loss(data.logits, data.labels, 2.0), atol=1e-12
    )
    ascent = grad_ascent.forget_loss(data.logits, data.labels)
    assert float(wga.forget_loss(data.logits, data.labels, 0.0)) == pytest.approx(float(ascent), **CLOSE)


@pytest.mark.parametrize("positions", ["unshifted", "shifted"])
def test_pdu(data: Batch, positions: str) -> None:
    step = 0 if positions == "unshifted" else 1
    rows, labels = data.logits.tolist(), data.labels.tolist()
    places = [(i, t) for i in range(4) for t in range(9 - step) if labels[i][t + step] != IGNORED]
    expected = mean([(max(rows[i][t]) - mean(rows[i][t])) ** 2 for i, t in places])
    assert float(pdu.forget_loss(data.logits, data.labels, positions)) == pytest.approx(expected, **CLOSE)


def test_the_dual_variable_rises_above_the_bound_and_stops_at_nought() -> None:
    assert pdu.next_dual(1.0, 0.75, 0.5, 2.0) == 1.5
    assert pdu.next_dual(1.0, 0.25, 0.5, 2.0) == 0.5
    assert pdu.next_dual(0.25, 0.25, 0.5, 2.0) == 0.0


# ---- losses on the retain set ------------------------------------------------------------------------------------------


def test_kl_counts_every_position(data: Batch) -> None:
    rows, held = data.logits.tolist(), data.start.tolist()
    expected = mean([kl(held[i][t], rows[i][t]) for i in range(4) for t in range(9)])
    assert float(retain.kl_everywhere(data.start, data.logits)) == pytest.approx(expected, **CLOSE)


def test_kl_answer_counts_those_that_predict_a_label(data: Batch) -> None:
    rows, held, labels = data.logits.tolist(), data.start.tolist(), data.labels.tolist()
    places = [(i, t) for i in range(4) for t in range(8) if labels[i][t + 1] != IGNORED]
    expected = mean([kl(held[i][t], rows[i][t]) for i, t in places])
    assert float(retain.kl_answers(data.start, data.logits, data.labels)) == pytest.approx(expected, **CLOSE)


def test_a_model_that_is_its_start_has_no_kl(data: Batch) -> None:
    assert float(retain.kl_everywhere(data.logits, data.logits)) == pytest.approx(0, abs=1e-12)


def test_the_sum_is_weighted() -> None:
    forget, kept = torch.tensor(3.0), torch.tensor(5.0)
    assert float(grad_diff.weighted(forget, kept, 0.125, 2.0)) == 0.125 * 3 + 2 * 5


# ---- gradients ---------------------------------------------------------------------------------------------------------

SMALL = batch(seed=5, size=7)
OTHER = batch(seed=6, size=7)
LARGE = batch(seed=5)
FREE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "token_mean": lambda z: sequences.token_mean(z, SMALL.labels),
    "grad_ascent": lambda z: grad_ascent.forget_loss(z, SMALL.labels),
    "npo": lambda z: npo.forget_loss(
        sequences.sequence_sums(z, SMALL.labels), sequences.sequence_sums(SMALL.start, SMALL.labels), 0.1
    ),
    "simnpo": lambda z: simnpo.forget_loss(sequences.sequence_means(z, SMALL.labels), 4.5, 0.3),
    "alternate_dpo": lambda z: alternate_dpo.forget_loss(
        sequences.sequence_sums(z, SMALL.labels), sequences.sequence_sums(SMALL.start, SMALL.labels),
        sequences.sequence_sums(z * 0.5 + 1, OTHER.labels), sequences.sequence_sums(OTHER.start, OTHER.labels),
        0.1, "two_over_beta",
    ),
    "undial": lambda z: undial.forget_loss(z, SMALL.start, SMALL.labels, 10.0, "answer"),
    "pdu": lambda z: pdu.forget_loss(z, SMALL.labels, "unshifted"),
    "pdu shifted": lambda z: pdu.forget_loss(z, SMALL.labels, "shifted"),
    "kl": lambda z: retain.kl_everywhere(SMALL.start, z),
    "kl_answer": lambda z: retain.kl_answers(SMALL.start, z, SMALL.labels),
    "rmu": lambda z: rmu.distance(z, SMALL.start, SMALL.labels, "product_of_means"),
    "rmu by row": lambda z: rmu.distance(z, SMALL.start, SMALL.labels, "mean_per_row"),
}  # fmt: skip


@pytest.mark.parametrize("name", FREE)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    assert torch.autograd.gradcheck(FREE[name], (SMALL.logits.clone().requires_grad_(),), eps=1e-6, atol=1e-7)


def test_undials_gradient_reaches_prompt_and_padding() -> None:
    """By differences along a few directions: the whole Jacobian would have thousands of columns."""
    z = LARGE.logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(undial.forget_loss(z, LARGE.start, LARGE.labels, 10.0, "all"), z)
    assert bool(gradient[:, :-1].abs().sum(-1).gt(0).all()) and not gradient[:, -1].any()
    for seed in range(3):
        along = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        ends = [undial.forget_loss(LARGE.logits + e * along, LARGE.start, LARGE.labels, 10.0, "all") for e in (1e-5, -1e-5)]
        assert float((ends[0] - ends[1]) / 2e-5) == pytest.approx(float((gradient * along).sum()), rel=1e-6)


def frozen(weights: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """A token mean of -log p with weights that stay those of the point where the gradient is taken."""
    where = SMALL.labels[:, 1:] != IGNORED
    true = SMALL.labels[:, 1:].clamp(min=0).unsqueeze(-1)

    def each(z: torch.Tensor) -> torch.Tensor:
        return -z[:, :-1].log_softmax(-1).gather(-1, true).squeeze(-1)[where]

    held = weights(each(SMALL.logits))
    return lambda z: -(held * each(z)).mean()


def frozen_ceu(z: torch.Tensor) -> torch.Tensor:
    """CE-U against the target that the point itself has."""
    held, total = SMALL.logits, []
    for i, row in enumerate(SMALL.labels.tolist()):
        places = [t for t in range(8) if row[t + 1] != IGNORED]
        for t in places[1:]:
            masked = held[i, t].clone()
            masked[row[t + 1]] = -math.inf
            total.append(-(masked.softmax(-1) * z[i, t].log_softmax(-1)).sum())
    return torch.stack(total).mean()


DETACHED: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]] = {
    "wga": (lambda z: wga.forget_loss(z, SMALL.labels, 1.5), frozen(lambda each: (-1.5 * each).exp())),
    "satimp": (
        lambda z: satimp.forget_loss(z, SMALL.labels, 5.0, 1.0),
        frozen(lambda each: (-5 * each).exp() * (1 - (-each).exp())),
    ),
    "ceu": (lambda z: ceu.forget_loss(z, SMALL.labels, 1), frozen_ceu),
}


@pytest.mark.parametrize("name", DETACHED)
def test_no_gradient_goes_through_what_is_detached(name: str) -> None:
    """The gradient is that of the loss with its weights, or its target, held where they are; by differences of that."""
    loss, held = DETACHED[name]
    z = SMALL.logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(z), z)
    assert torch.autograd.gradcheck(held, (SMALL.logits.clone().requires_grad_(),), eps=1e-6, atol=1e-7)
    w = SMALL.logits.clone().requires_grad_()
    (expected,) = torch.autograd.grad(held(w), w)
    assert torch.allclose(gradient, expected, atol=1e-12)


def test_the_start_gets_no_gradient() -> None:
    start = SMALL.start.clone().requires_grad_()
    large = LARGE.start.clone().requires_grad_()
    z = SMALL.logits.clone().requires_grad_()
    held, own = sequences.sequence_sums(start, SMALL.labels), sequences.sequence_sums(z, SMALL.labels)
    total = (
        npo.forget_loss(own, held, 0.1)
        + alternate_dpo.forget_loss(own, held, 0.5 * own, held, 0.1, "one")
        + retain.kl_everywhere(start, z)
        + rmu.distance(z, start, SMALL.labels, "mean_per_row")
        + undial.forget_loss(LARGE.logits.clone().requires_grad_(), large, LARGE.labels, 10.0, "all")
    )
    total.backward()
    assert z.grad is not None and z.grad.any()
    assert start.grad is None and large.grad is None


# ---- memory and mistakes -----------------------------------------------------------------------------------------------


def test_no_table_of_log_probabilities_is_kept() -> None:
    """What autograd keeps of a likelihood has no more rows than there are answers, and none are log-probabilities."""
    made = batch(1)
    kept: list[torch.Tensor] = []
    z = made.logits.clone().requires_grad_()

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        sequences.token_mean(z, made.labels)
    tables = [tensor for tensor in kept if tensor.shape[-1:] == (VOCABULARY,)]
    answers = made.logits[:, :-1][made.labels[:, 1:] != IGNORED]
    assert tables and all(torch.equal(table, answers) for table in tables)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pdu.forget_loss(SMALL.logits, SMALL.labels, "all"), "positions: there is no 'all'; there are unshifted, "),
        (lambda: undial.forget_loss(SMALL.logits, SMALL.start, SMALL.labels, 1.0, "some"), "positions: there is no 'some'"),
        (lambda: rmu.distance(SMALL.logits, SMALL.start, SMALL.labels, "mean"), "normalisation: there is no 'mean'"),
        (lambda: alternate_dpo.forget_loss(*[torch.ones(1)] * 4, 0.1, "two"), "factor: there is no 'two'"),
    ],
)  # fmt: skip
def test_an_option_that_there_is_not_is_named(call: Callable[[], torch.Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
