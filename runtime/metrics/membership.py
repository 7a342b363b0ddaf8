"""Membership inference: scores that tell what a model was trained on from what it never saw, and their area under the curve.

Every score is higher for what looks less like a member. The AUC of forget rows against holdout rows is the probability that a
holdout row has the higher score: 1 where what was to be forgotten still shows, 0.5 where it does not (ideal), below 0.5 where
it is now conspicuous in the other way. Log-probabilities are in nats, of shape (tokens,).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

SMALLEST_VARIANCE = 1e-6

Numbers = Sequence[float] | np.ndarray


def zlib_score(nll: float, text: str) -> float:
    """Mean NLL over the bytes of the zlib-compressed text (arXiv 2012.07805)."""
    return nll / len(zlib.compress(text.encode("utf-8")))


def reference_score(nll: float, reference_nll: float) -> float:
    """Mean NLL less that of a model that never saw the text (arXiv 2012.07805)."""
    return nll - reference_nll


def min_k(log_probs: Numbers, share: float) -> float:
    """Minus the mean of the lowest `share` of log-probabilities (arXiv 2310.16789), of one token at least; 0 of no token."""
    return _lowest(np.asarray(log_probs, dtype=np.float64), share)


def min_k_plus_plus(log_probs: Numbers, means: Numbers, variances: Numbers, share: float) -> float:
    """Min-k of (log p - mean) / sqrt(variance), both of log p under p over the vocabulary (arXiv 2404.02936).

    A variance counts as 1e-6 at least; 0 of no token.
    """
    spread = np.sqrt(np.maximum(np.asarray(variances, dtype=np.float64), SMALLEST_VARIANCE))
    return _lowest((np.asarray(log_probs, dtype=np.float64) - np.asarray(means, dtype=np.float64)) / spread, share)


def recall_score(nll: float, nll_behind_prefix: float) -> float:
    """ReCall (arXiv 2406.15968): minus the log-likelihood behind texts that are no members, over that without them.

    Members lose more by such a prefix, so that their ratio is higher and this score is lower; minus infinity where the text
    alone is certain.
    """
    return -nll_behind_prefix / nll if nll else -math.inf


def auc(forget: Numbers, holdout: Numbers) -> float:
    """P(a holdout score is higher than a forget score) + P(equal) / 2, in [0, 1] (Mann and Whitney 1947).

    0.5: forgotten without a trace.
    """
    low, high = np.asarray(forget, dtype=np.float64), np.asarray(holdout, dtype=np.float64)
    ranks = rankdata(np.concatenate([low, high]))[low.size :]
    return float((ranks.sum() - high.size * (high.size + 1) / 2) / (low.size * high.size))


def _lowest(values: np.ndarray, share: float) -> float:
    if not values.size:
        return 0.0
    many = max(1, int(values.size * share))
    return float(-np.sort(values)[:many].mean())
