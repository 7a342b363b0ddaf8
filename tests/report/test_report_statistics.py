"""The paired statistics: identities that hold for every outcome, values worked by hand, and coverage counted exactly."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.report.statistics import (
    Estimate,
    adjusted_wald,
    correlation,
    mean_of_independent,
    paired,
    sum_of_independent,
    weighted_sum,
)

BINARY = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)
GRADED = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60)
OUTCOMES = st.one_of(BINARY, GRADED)
CONFIDENCE = st.floats(0.8, 0.999)


def sides(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [float(before) for before, _ in pairs], [float(after) for _, after in pairs]


@given(OUTCOMES, CONFIDENCE)
def test_the_change_is_what_was_newly_solved_less_what_was_forgotten(pairs, confidence):
    found = paired(*sides(pairs), confidence)
    assert found.delta.value == pytest.approx(found.backward - found.forgetting, abs=1e-12)
    assert found.after - found.before == pytest.approx(found.delta.value, abs=1e-9)


@given(BINARY)
def test_forgetting_and_backward_transfer_count_items_that_flipped(pairs):
    found = paired(*sides(pairs), 0.95)
    assert found.forgetting == pytest.approx(sum(before and not after for before, after in pairs) / len(pairs))
    assert found.backward == pytest.approx(sum(after and not before for before, after in pairs) / len(pairs))


@given(OUTCOMES, CONFIDENCE)
def test_an_interval_holds_its_estimate_lies_within_one_and_has_a_width(pairs, confidence):
    delta = paired(*sides(pairs), confidence).delta
    assert -1 <= delta.low <= delta.value <= delta.high <= 1
    assert delta.low < delta.high


@given(OUTCOMES, CONFIDENCE)
def test_swapping_before_and_after_mirrors_everything(pairs, confidence):
    before, after = sides(pairs)
    there, back = paired(before, after, confidence), paired(after, before, confidence)
    assert (back.forgetting, back.backward) == (there.backward, there.forgetting)
    mirrored = (-back.delta.value, -back.delta.high, -back.delta.low)
    assert mirrored == pytest.approx((there.delta.value, there.delta.low, there.delta.high), abs=1e-12)


@given(OUTCOMES)
def test_more_confidence_is_a_wider_interval(pairs):
    narrow, wide = paired(*sides(pairs), 0.9).delta, paired(*sides(pairs), 0.99).delta
    assert wide.low <= narrow.low < narrow.high <= wide.high
    assert narrow.half_width < wide.half_width or (wide.low, wide.high) == (-1, 1)


def test_the_interval_is_the_one_worked_by_hand():
    # n = 98, 8 gained, 0 lost: centre 8/100, variance (10/100 - 0.08**2)/100 = 0.000936, z = 1.959964
    low, high = adjusted_wald([1.0] * 8 + [0.0] * 90, 0.95)
    assert (low, high) == pytest.approx((0.0200366, 0.1399634), abs=1e-7)


def test_no_change_at_all_still_leaves_room_for_one():
    # n = 98, nothing changed: 1.959964 * sqrt(2)/100
    assert adjusted_wald([0.0] * 98, 0.95) == pytest.approx((-0.0277181, 0.0277181), abs=1e-7)


@pytest.mark.parametrize(
    ("low", "high", "sign"), [(0.01, 0.2, 1), (-0.2, -0.01, -1), (-0.1, 0.2, 0), (0.0, 0.2, 0), (-0.2, 0.0, 0)]
)
def test_a_change_counts_only_when_zero_is_outside_its_interval(low, high, sign):
    assert Estimate((low + high) / 2, low, high).sign == sign


def test_nothing_to_pair_is_refused():
    with pytest.raises(ValueError, match="at least one item"):
        paired([], [], 0.95)
    with pytest.raises(ValueError, match="shorter"):
        paired([1.0, 0.0], [1.0], 0.95)


@pytest.mark.parametrize("confidence", [0.5, 1.0])
def test_a_confidence_for_which_the_interval_was_not_made_is_refused(confidence):
    with pytest.raises(ValueError, match="confidence"):
        adjusted_wald([0.0], confidence)


def tables(n: int, gained: float, lost: float) -> Iterator[tuple[int, int, float]]:
    """Every table of n items with its probability: b gained, c lost."""
    for b in range(n + 1):
        for c in range(n - b + 1):
            ways = math.comb(n, b) * math.comb(n - b, c)
            yield b, c, ways * gained**b * lost**c * (1 - gained - lost) ** (n - b - c)


@pytest.mark.parametrize("n", [20, 60])
@pytest.mark.parametrize(
    ("gained", "lost"), [(0.01, 0.01), (0.05, 0.05), (0.1, 0.02), (0.02, 0.1), (0.2, 0.05), (0.3, 0.1), (0.9, 0.02)]
)
def test_the_interval_covers_the_truth_at_least_as_often_as_it_says(n, gained, lost):
    covered = 0.0
    for b, c, probability in tables(n, gained, lost):
        low, high = adjusted_wald([1.0] * b + [-1.0] * c + [0.0] * (n - b - c), 0.95)
        covered += probability * (low <= gained - lost <= high)
    assert covered >= 0.945


ESTIMATES = st.lists(
    st.tuples(st.floats(-0.5, 0.5), st.floats(0.001, 0.3), st.floats(0.001, 0.3)).map(
        lambda t: Estimate(t[0], t[0] - t[1], t[0] + t[2])
    ),
    min_size=1,
    max_size=8,
)


@given(ESTIMATES)
def test_a_sum_of_independent_parts_is_the_weighted_sum_without_correlation(parts):
    size = range(len(parts))
    general = weighted_sum(parts, [1.0] * len(parts), [[float(i == j) for j in size] for i in size])
    special = sum_of_independent(parts)
    assert (special.value, special.low, special.high) == pytest.approx((general.value, general.low, general.high))


@given(ESTIMATES)
def test_a_mean_is_surer_than_the_sum_of_its_parts_doubts_and_less_sure_than_none(parts):
    mean = mean_of_independent(parts)
    assert mean.value == pytest.approx(sum(part.value for part in parts) / len(parts))
    assert 0 < mean.half_width <= sum(part.half_width for part in parts) / len(parts) + 1e-12


def test_parts_that_move_together_do_not_make_a_mean_surer():
    part = Estimate(0.1, 0.0, 0.3)
    mean = weighted_sum([part, part], [0.5, 0.5], [[1.0, 1.0], [1.0, 1.0]])
    assert (mean.value, mean.low, mean.high) == pytest.approx((0.1, 0.0, 0.3))


def test_correlation_is_pearsons_and_cautious_where_that_is_undefined():
    assert correlation([1, 0, -1, 0], [1, 0, -1, 0]) == pytest.approx(1)
    assert correlation([1, 0, -1, 0], [-1, 0, 1, 0]) == pytest.approx(-1)
    assert correlation([1, 0, -1, 0], [0, 1, 0, -1]) == pytest.approx(0)
    assert correlation([0, 0, 0, 0], [1, 0, -1, 0]) == 1


def test_the_mean_of_cells_that_share_items_covers_the_truth():
    """Three cells fail on the same hard items: with their correlation the mean's interval covers, without it it would not."""
    draw, trials, n = random.Random(20251), 400, 120
    covered = {"shared": 0, "ignored": 0}
    for _ in range(trials):
        hard = [draw.random() < 0.3 for _ in range(n)]
        cells = [[-float(h and draw.random() < 0.8) for h in hard] for _ in range(3)]
        parts = [paired([1.0] * n, [1.0 + d for d in cell], 0.95).delta for cell in cells]
        shared = weighted_sum(parts, [1 / 3] * 3, [[correlation(a, b) for b in cells] for a in cells])
        ignored = mean_of_independent(parts)
        for name, mean in (("shared", shared), ("ignored", ignored)):
            covered[name] += mean.low <= -0.24 <= mean.high
    assert 0.92 <= covered["shared"] / trials <= 0.99
    assert covered["ignored"] / trials < 0.85
