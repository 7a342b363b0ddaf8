"""Each metric equals what scipy, scikit-learn, rouge-score, zlib or a few lines of float64 say of the same numbers."""

from __future__ import annotations

import math
import warnings
import zlib
from itertools import product

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import accuracy_score, roc_auc_score

from runtime.metrics.leakage import privleak, rel_diff
from runtime.metrics.membership import auc, min_k, min_k_plus_plus, recall_score, reference_score, zlib_score
from runtime.metrics.memorization import counted, exact_memorization, extraction_strength
from runtime.metrics.probability import mean_nll, normalised_probability, probability
from runtime.metrics.quality import forget_prob_ks, forget_quality
from runtime.metrics.rouge import cut, rouge
from runtime.metrics.selectivity import selectivity
from runtime.metrics.truth_ratio import closer_to_one, prob_mean, right_share, true_better, truth_ratio
from runtime.metrics.utility import model_utility

NLL = st.floats(0, 30)
NLLS = st.lists(NLL, min_size=1, max_size=6)
LOG_PROBS = st.lists(st.floats(-40, 0), min_size=1, max_size=30)
RIGHT = st.lists(st.booleans(), max_size=12)
SCORES = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=20)
SHARES = st.lists(st.floats(0.001, 1), min_size=1, max_size=9)
WORDS = st.lists(st.sampled_from(["runs", "running", "a", "the", "Town", "is", "Ghent,", "é", ""]), max_size=8).map(" ".join)


# --- probability and truth ratio ---------------------------------------------------------------------------------------


@given(LOG_PROBS)
def test_the_probability_of_a_sequence_is_its_tokens_geometric_mean(log_probs: list[float]) -> None:
    expected = scipy.stats.gmean(np.exp(np.array(log_probs)))
    assert probability(mean_nll(log_probs)) == pytest.approx(expected, rel=1e-12)


def test_of_no_token_there_is_no_probability() -> None:
    assert math.isnan(probability(mean_nll([])))


@given(st.floats(0, 1), st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_a_normalised_probability_is_a_share(correct: float, wrong: list[float]) -> None:
    expected = np.float64(correct) / (np.float64(correct) + np.sum(wrong) + 1e-10)
    assert normalised_probability(correct, wrong) == pytest.approx(expected, rel=1e-12)
    assert 0 <= normalised_probability(correct, wrong) <= 1


@given(NLL, NLLS)
def test_the_truth_ratio_sets_geometric_means_of_wrong_answers_against_the_right_one(right: float, wrong: list[float]) -> None:
    mean_wrong = scipy.stats.gmean(np.exp(-np.array(wrong)))
    assert truth_ratio(right, wrong) == pytest.approx(mean_wrong / (np.exp(-right) + 1e-10), rel=1e-9)
    assert right_share(right, wrong) == pytest.approx(np.exp(-right) / (np.exp(-right) + mean_wrong + 1e-10), rel=1e-9)


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=20))
def test_truth_ratios_are_summed_up_as_published(ratios: list[float]) -> None:
    assert closer_to_one(ratios) == pytest.approx(sum(min(r, 1 / (r + 1e-10)) for r in ratios) / len(ratios), rel=1e-9)
    assert true_better(ratios) == pytest.approx(sum(max(0.0, 1 - r) for r in ratios) / len(ratios), rel=1e-9, abs=1e-12)


@given(SHARES)
def test_shares_are_averaged(shares: list[float]) -> None:
    assert prob_mean(shares) == pytest.approx(math.fsum(shares) / len(shares), rel=1e-12)


def test_a_model_that_cannot_tell_right_from_wrong_has_the_best_forget_truth_ratio() -> None:
    assert closer_to_one([1.0, 1.0]) == pytest.approx(1)
    assert closer_to_one([0.1, 10.0]) == pytest.approx(0.1)


# --- ROUGE -------------------------------------------------------------------------------------------------------------


@given(WORDS, WORDS, st.sampled_from([("rougeL_recall", 1), ("rougeL_f1", 2), ("rouge1_recall", 1)]))
def test_rouge_is_that_of_rouge_score(truth: str, answer: str, which: tuple[str, int]) -> None:
    kind = which[0].split("_")[0]
    expected = RougeScorer([kind], use_stemmer=True).score(truth, answer)[kind][which[1]]
    assert rouge(truth, answer, which[0]) == expected


def test_words_of_one_stem_are_the_same() -> None:
    assert rouge("she runs", "she running", "rougeL_recall") == 1


@pytest.mark.parametrize(
    ("text", "stops", "kept"),
    [
        (" Ghent.\n\nQuestion: who?", ["\n\n", "Question:"], "Ghent."),
        ("Question: a", ["\n\n", "Question:"], ""),
        ("a Question: b\n\nc", ["\n\n", "Question:"], "a"),
        (" a b ", [], "a b"),
    ],
)
def test_an_answer_ends_where_the_first_stop_begins(text: str, stops: list[str], kept: str) -> None:
    assert cut(text, stops) == kept


# --- memorization ------------------------------------------------------------------------------------------------------


@given(RIGHT)
def test_exact_memorization_is_accuracy(right: list[bool]) -> None:
    found = exact_memorization(right)
    assert math.isnan(found) if not right else found == pytest.approx(accuracy_score([True] * len(right), right), rel=1e-12)


@given(RIGHT)
def test_extraction_strength_is_the_longest_tail_that_is_right(right: list[bool]) -> None:
    """Brute force over every k."""
    many = len(right)
    tails = [k for k in range(many) if all(right[k:])]
    published = 1 - tails[0] / many if tails else (1 / many if many else 0)
    fixed = 1 - tails[0] / many if tails else 0
    assert extraction_strength(right, "one_token") == pytest.approx(published, rel=1e-12)
    assert extraction_strength(right, "zero") == pytest.approx(fixed, rel=1e-12)


@pytest.mark.parametrize(
    ("tokens", "ends", "published", "fixed"), [(5, True, 4, 4), (5, False, 4, 5), (1, True, 0, 0), (0, False, 0, 0)]
)
def test_the_last_token_of_a_text_counts_where_it_is_not_the_end(tokens: int, ends: bool, published: int, fixed: int) -> None:
    assert counted(tokens, ends, "dropped") == published
    assert counted(tokens, ends, "dropped_if_end") == fixed


# --- membership --------------------------------------------------------------------------------------------------------


@given(SCORES, SCORES)
def test_the_area_is_that_of_scikit_learn_with_ties(forget: list[float], holdout: list[float]) -> None:
    labels = [0] * len(forget) + [1] * len(holdout)
    assert auc(forget, holdout) == pytest.approx(roc_auc_score(labels, forget + holdout), abs=1e-12)


@given(SCORES, SCORES)
def test_the_area_is_a_probability_of_pairs(forget: list[float], holdout: list[float]) -> None:
    pairs = [(h > f) + (h == f) / 2 for f, h in product(forget, holdout)]
    assert auc(forget, holdout) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


@given(LOG_PROBS, st.floats(0.01, 1))
def test_min_k_is_the_mean_of_the_least_likely(log_probs: list[float], share: float) -> None:
    lowest = sorted(log_probs)[: max(1, math.floor(share * len(log_probs)))]
    assert min_k(log_probs, share) == pytest.approx(-math.fsum(lowest) / len(lowest), rel=1e-12, abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1))
def test_min_k_plus_plus_is_min_k_of_standardised_log_probabilities(seed: int, share: float) -> None:
    """From whole distributions over a vocabulary of 7, in float64."""
    random = np.random.default_rng(seed)
    logits, labels = random.normal(scale=2, size=(9, 7)), random.integers(0, 7, 9)
    log_probs = scipy.special.log_softmax(logits, axis=1)
    probs = np.exp(log_probs)
    means = (probs * log_probs).sum(1)
    variances = (probs * log_probs**2).sum(1) - means**2
    chosen = log_probs[range(9), labels]
    scores = sorted((chosen - means) / np.sqrt(variances))[: max(1, math.floor(9 * share))]
    assert min_k_plus_plus(chosen, means, variances, share) == pytest.approx(-np.mean(scores), rel=1e-9, abs=1e-9)


def test_a_certain_token_counts_with_the_smallest_variance() -> None:
    assert min_k_plus_plus([-1.0], [0.0], [0.0], 1.0) == pytest.approx(1 / math.sqrt(1e-6))


def test_of_no_token_the_scores_are_0() -> None:
    assert min_k([], 0.4) == min_k_plus_plus([], [], [], 0.4) == 0


@given(NLL, st.text(max_size=50))
def test_the_zlib_score_divides_by_compressed_bytes(nll: float, text: str) -> None:
    assert zlib_score(nll, text) == nll / len(zlib.compress(text.encode()))


@given(NLL, NLL)
def test_the_reference_score_is_a_difference(nll: float, reference: float) -> None:
    assert reference_score(nll, reference) == nll - reference


def test_what_loses_more_behind_strangers_looks_more_like_a_member() -> None:
    member, stranger = recall_score(1.0, 2.0), recall_score(2.0, 2.2)
    assert member == -2
    assert auc([member], [stranger]) == 1
    assert recall_score(0.0, 1.0) == -math.inf


# --- compared with other models ----------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 3), min_size=1, max_size=30), st.lists(st.floats(0, 3), min_size=1, max_size=30))
def test_qualities_are_the_test_of_kolmogorov_and_smirnov(own: list[float], reference: list[float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of many ties
        expected = scipy.stats.ks_2samp(own, reference).pvalue
    assert forget_quality(own, reference) == forget_prob_ks(own, reference) == expected


def test_items_of_the_same_model_are_of_one_distribution() -> None:
    assert forget_quality([0.1, 0.5, 0.7], [0.7, 0.1, 0.5]) == 1


@given(SHARES)
def test_utility_is_the_harmonic_mean(parts: list[float]) -> None:
    assert model_utility(parts) == pytest.approx(scipy.stats.hmean(parts), rel=1e-12)


def test_utility_is_0_as_soon_as_one_part_is() -> None:
    assert model_utility([0.9, 0.0, 0.8]) == scipy.stats.hmean([0.9, 0.0, 0.8]) == 0


@pytest.mark.parametrize(("own", "reference"), [(0.9, 0.5), (0.3, 0.4), (0.5, 1.0), (0.0, 0.0)])
def test_leakage_is_relative_to_the_reference(own: float, reference: float) -> None:
    a, r = np.float64(own), np.float64(reference)
    assert privleak(own, reference) == pytest.approx(100 * ((1 - a) - (1 - r)) / ((1 - r) + 1e-10), rel=1e-12)
    assert rel_diff(own, reference) == pytest.approx(100 * (a - r) / (r + 1e-10), rel=1e-12)


def test_leakage_tells_too_little_from_too_much_by_its_sign() -> None:
    assert privleak(0.5, 0.5) == rel_diff(0.5, 0.5) == 0
    assert privleak(0.9, 0.5) < 0 < rel_diff(0.9, 0.5)
    assert rel_diff(0.1, 0.5) < 0 < privleak(0.1, 0.5)


def test_selectivity_sets_one_relative_drop_against_the_other() -> None:
    assert selectivity(0.2, 0.8, 0.6, 0.8) == pytest.approx(0.75 / 0.25)
    assert selectivity(0.2, 0.8, 0.9, 0.8) == pytest.approx(-6)
    assert selectivity(0.2, 0.8, 0.8, 0.8) == math.inf
    assert math.isnan(selectivity(0.8, 0.8, 0.8, 0.8))
    assert math.isnan(selectivity(0.0, 0.0, 0.8, 0.8))
