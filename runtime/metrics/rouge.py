"""ROUGE (Lin 2004) of a generated answer against the true one, by the package rouge-score with Porter's stemmer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from rouge_score.rouge_scorer import RougeScorer

FIELDS = {"rougeL_recall": ("rougeL", "recall"), "rougeL_f1": ("rougeL", "fmeasure"), "rouge1_recall": ("rouge1", "recall")}


def rouge(truth: str, answer: str, which: str) -> float:
    """One of FIELDS, in [0, 1]: `recall` is the share of the truth's words that the answer has (rougeL: in their order).

    Of the forget set: lower is better forgotten.
    """
    kind, field = FIELDS[which]
    return float(getattr(_scorer(kind).score(truth, answer)[kind], field))


def cut(text: str, stops: Sequence[str]) -> str:
    """`text` up to where the first of the `stops` begins, without surrounding space."""
    ends = [found for stop in stops if (found := text.find(stop)) >= 0]
    return text[: min(ends, default=len(text))].strip()


@cache
def _scorer(kind: str) -> Any:
    return RougeScorer([kind], use_stemmer=True)
