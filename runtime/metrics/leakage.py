"""What membership inference still sees, against a model that never saw the forget set: MUSE's privleak and rel_diff."""

from __future__ import annotations

EPSILON = 1e-10


def privleak(auc: float, reference: float) -> float:
    """100 x ((1 - a) - (1 - r)) / (1 - r + 1e-10) of two AUCs by min-k (arXiv 2407.06460).

    Near 0: as if never seen; negative: not forgotten enough; positive: too much. Published code takes r = 0.5 where there is no
    reference; nothing is taken here.
    """
    return 100 * ((1 - auc) - (1 - reference)) / (1 - reference + EPSILON)


def rel_diff(auc: float, reference: float) -> float:
    """100 x (a - r) / (r + 1e-10) of two AUCs by min-k. Near 0: as if never seen; positive: not forgotten enough."""
    return 100 * (auc - reference) / (reference + EPSILON)
