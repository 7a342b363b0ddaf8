"""How metrics of unlearning are called and written, the same in every rendering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.report.seeds import Mean
from runtime.report.unlearning import LOGARITHMIC
from runtime.report.wording import MINUS

PERCENT = ("privleak", "rel_diff")  # they are in % already


@dataclass(frozen=True)
class Group:
    """Metrics that are shown side by side."""

    title: str
    about: str
    metrics: tuple[str, ...]


GROUPS = (
    Group(
        "Forgotten and kept",
        "forget_quality: p-value of a Kolmogorov-Smirnov test that the truth ratios are those of the reference model "
        "(1: cannot be told from it). model_utility: harmonic mean over retain set, real authors and world facts.",
        (
            "forget_quality",
            "model_utility",
            "forget_truth_ratio",
            "forget_prob",
            "forget_prob_ks",
            "forget_rouge",
            "retain_prob",
            "retain_rouge",
            "retain_truth_ratio",
            "forget_knowmem_rouge",
            "retain_knowmem_rouge",
            "selectivity",
            "fluency",
        ),
    ),
    Group(
        "Whether it shows",
        "mia: area under the curve of telling forgotten rows from rows that no model saw (0.5: cannot be told; the reference "
        "model's is the target). privleak: min-k's distance from the reference model in % (negative: it still shows).",
        (
            "privleak",
            "rel_diff",
            "mia_loss",
            "mia_zlib",
            "mia_reference",
            "mia_min_k",
            "mia_min_k_plus_plus",
            "mia_gradnorm",
            "mia_recall",
        ),
    ),
    Group(
        "Memorized",
        "exact_memorization: share of tokens predicted rightly. extraction_strength: share of an answer that follows from its "
        "beginning word for word.",
        ("exact_memorization", "extraction_strength", "forget_verbmem_rouge"),
    ),
)


def grouped(metrics: Sequence[str]) -> list[tuple[Group, list[str]]]:
    """The metrics by group, those that no group knows last."""
    known = [(group, [name for name in group.metrics if name in metrics]) for group in GROUPS]
    rest = [name for name in metrics if not any(name in group.metrics for group in GROUPS)]
    whole = [*known, (Group("Other metrics", "", tuple(rest)), rest)]
    return [(group, names) for group, names in whole if names]


def number(metric: str, value: float) -> str:
    """A value with as many digits as mean something."""
    if metric in LOGARITHMIC and value < 0.01:
        return f"{value:.0e}"
    if metric in PERCENT:
        return f"{value:+.1f}".replace("-", MINUS)
    return f"{value:.3f}".replace("-", MINUS)


def limits(metric: str, mean: Mean) -> str:
    """The interval over seeds, if there is one."""
    if mean.low is None or mean.high is None:
        return ""
    return f"[{number(metric, mean.low)}, {number(metric, mean.high)}]"


def told(metric: str, mean: Mean) -> str:
    """A mean, and its interval where there are several seeds."""
    return " ".join(part for part in (number(metric, mean.value), limits(metric, mean)) if part)
