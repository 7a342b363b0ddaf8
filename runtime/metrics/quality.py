"""How like a model that never saw the forget set: two-sample tests of Kolmogorov and Smirnov over items (arXiv 2401.06121)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from scipy.stats import ks_2samp


def forget_quality(ratios: Sequence[float], reference: Sequence[float]) -> float:
    """p-value, in [0, 1], that this model's truth ratios and the reference's on the same forget set are of one distribution.

    Higher: better forgotten; above 0.05 the two are not told apart.
    """
    return _same(ratios, reference)


def forget_prob_ks(probabilities: Sequence[float], reference: Sequence[float]) -> float:
    """The same p-value of the probabilities of the forget set's answers (an extra of LMCleaner's fork of open-unlearning)."""
    return _same(probabilities, reference)


def _same(left: Sequence[float], right: Sequence[float]) -> float:
    with warnings.catch_warnings():
        # Where many numbers are equal, scipy warns that it takes the asymptotic p-value instead of the exact one, as published.
        warnings.filterwarnings("ignore", "ks_2samp: Exact calculation unsuccessful", RuntimeWarning)
        return float(ks_2samp(left, right).pvalue)
