"""TOFU's model utility (arXiv 2401.06121): what a model keeps, as one number."""

from __future__ import annotations

from collections.abc import Sequence


def model_utility(parts: Sequence[float]) -> float:
    """The harmonic mean of numbers from 0; 0 as soon as one of them is. Higher: better kept.

    TOFU's nine: probability, ROUGE and truth ratio of the retain set, of real authors and of world facts, where the last two
    count their probability normalised over the wrong answers.
    """
    return 0.0 if 0 in parts else len(parts) / sum(1 / part for part in parts)
