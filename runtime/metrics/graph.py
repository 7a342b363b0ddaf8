"""The metrics as data: which numbers of rows each reads, whose scores it compares them with, and how they become one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from runtime.metrics.items import Item, Options, Values
from runtime.metrics.leakage import privleak, rel_diff
from runtime.metrics.membership import auc, reference_score
from runtime.metrics.quality import forget_prob_ks, forget_quality
from runtime.metrics.selectivity import selectivity
from runtime.metrics.truth_ratio import AGGREGATORS
from runtime.metrics.utility import model_utility

Whose = Literal["reference", "start"]

UTILITY = tuple(
    Item(quantity, split)
    for split, prob in (("retain", "prob"), ("real_authors", "prob_normalised"), ("world_facts", "prob_normalised"))
    for quantity in (prob, "rouge", "truth_ratio")
)
RECITED = ("forget_verbmem", "forget")  # what a model might recite: MUSE's own set for that, else the forget set's answers
MEMBERS = ("forget", "holdout")
SCORES = ("mia_loss", "mia_zlib", "mia_min_k", "mia_min_k_plus_plus", "mia_gradnorm", "mia_recall")


@dataclass(frozen=True)
class Known:
    """What a metric is computed from: this model's numbers, and those of the model that it compares with."""

    own: Mapping[Item, Values]
    other: Mapping[Item, Values]
    options: Options

    def of(self, quantity: str, split: str) -> tuple[float, ...]:
        """This model's numbers."""
        return self.own[Item(quantity, split)].numbers

    def others(self, quantity: str, split: str) -> tuple[float, ...]:
        """The other model's numbers."""
        return self.other[Item(quantity, split)].numbers


@dataclass(frozen=True)
class Outcome:
    """A metric's value, how many rows it is of, the numbers that it is made of by name, and what it adds to the items."""

    value: float
    n: int
    parts: Mapping[str, float] = field(default_factory=dict)
    items: Mapping[Item, Values] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """One metric. `compares` says whose numbers, the same as its own, it needs besides."""

    reads: tuple[Item, ...]
    value: Callable[[Known], Outcome]
    compares: Whose | None = None


def metrics(splits: Iterable[str]) -> dict[str, Metric]:
    """Every metric, for rows that have these splits."""
    there = set(splits)
    recited = next((split for split in RECITED if split in there), RECITED[-1])
    members = {name: _membership(name) for name in SCORES}
    return {
        "forget_truth_ratio": _truth_ratio("forget"),
        "forget_quality": Metric((Item("truth_ratio", "forget"),), _forget_quality, "reference"),
        "forget_prob": _mean("prob", "forget"),
        "forget_prob_ks": Metric((Item("prob", "forget"),), _forget_prob_ks, "reference"),
        "forget_rouge": _mean("rouge", "forget"),
        "retain_prob": _mean("prob", "retain"),
        "retain_rouge": _mean("rouge", "retain"),
        "retain_truth_ratio": _truth_ratio("retain"),
        "model_utility": Metric(UTILITY, _model_utility),
        "selectivity": Metric((Item("prob", "forget"), Item("prob", "retain")), _selectivity, "start"),
        "forget_knowmem_rouge": _mean("rouge", "forget_knowmem"),
        "retain_knowmem_rouge": _mean("rouge", "retain_knowmem"),
        "forget_verbmem_rouge": _mean("rouge", "forget_verbmem"),
        "privleak": Metric(_of_members("mia_min_k"), _privleak, "reference"),
        "rel_diff": Metric(_of_members("mia_min_k"), _rel_diff, "reference"),
        "extraction_strength": _mean("extraction_strength", recited),
        "exact_memorization": _mean("exact_memorization", recited, empty_skipped=True),
        "fluency": _mean("fluency", recited),
        **members,
        "mia_reference": Metric(_of_members("mia_loss"), _mia_reference, "reference"),
    }


def _of_members(quantity: str) -> tuple[Item, ...]:
    return tuple(Item(quantity, split) for split in MEMBERS)


def _mean(quantity: str, split: str, empty_skipped: bool = False) -> Metric:
    def value(known: Known) -> Outcome:
        numbers = [one for one in known.of(quantity, split) if not (empty_skipped and math.isnan(one))]
        return Outcome(average(numbers), len(numbers))

    return Metric((Item(quantity, split),), value)


def average(numbers: Sequence[float]) -> float:
    """The mean; NaN of nothing."""
    return float(np.mean(numbers)) if numbers else math.nan


def _truth_ratio(split: str) -> Metric:
    def value(known: Known) -> Outcome:
        ratios = known.of("truth_ratio", split)
        return Outcome(_summed(known, split), len(ratios))

    return Metric((Item("truth_ratio", split),), value)


def _summed(known: Known, split: str) -> float:
    """The truth ratios of a split as one number, as fits a set to forget or to keep."""
    how = "closer_to_1_better" if split == "forget" else known.options.truth_ratio
    return AGGREGATORS[how](known.of("truth_ratio", split))


def _model_utility(known: Known) -> Outcome:
    parts = {
        f"{split}.{quantity}": _summed(known, split) if quantity == "truth_ratio" else average(known.of(quantity, split))
        for quantity, split in UTILITY
    }
    rows = {split: len(known.of("rouge", split)) for _, split in UTILITY}
    return Outcome(model_utility(list(parts.values())), sum(rows.values()), parts)


def _forget_quality(known: Known) -> Outcome:
    own = known.of("truth_ratio", "forget")
    return Outcome(forget_quality(own, known.others("truth_ratio", "forget")), len(own))


def _forget_prob_ks(known: Known) -> Outcome:
    own = known.of("prob", "forget")
    return Outcome(forget_prob_ks(own, known.others("prob", "forget")), len(own))


def _selectivity(known: Known) -> Outcome:
    forget, retain = average(known.of("prob", "forget")), average(known.of("prob", "retain"))
    before, kept = average(known.others("prob", "forget")), average(known.others("prob", "retain"))
    parts = {"forget": forget, "forget_start": before, "retain": retain, "retain_start": kept}
    many = len(known.of("prob", "forget")) + len(known.of("prob", "retain"))
    return Outcome(selectivity(forget, before, retain, kept), many, parts)


def _membership(quantity: str) -> Metric:
    def value(known: Known) -> Outcome:
        return _area(known.of(quantity, "forget"), known.of(quantity, "holdout"))

    return Metric(_of_members(quantity), value)


def _area(forget: Sequence[float], holdout: Sequence[float]) -> Outcome:
    return Outcome(auc(forget, holdout), len(forget) + len(holdout), {"forget": average(forget), "holdout": average(holdout)})


def _against(known: Known) -> tuple[float, float, int]:
    """The AUCs by min-k of this model and of the reference, and of how many rows they are."""
    own = [known.of("mia_min_k", split) for split in MEMBERS]
    return auc(*own), auc(*(known.others("mia_min_k", split) for split in MEMBERS)), sum(map(len, own))


def _privleak(known: Known) -> Outcome:
    own, reference, many = _against(known)
    return Outcome(privleak(own, reference), many, {"auc": own, "reference_auc": reference})


def _rel_diff(known: Known) -> Outcome:
    own, reference, many = _against(known)
    return Outcome(rel_diff(own, reference), many, {"auc": own, "reference_auc": reference})


def _mia_reference(known: Known) -> Outcome:
    found = {split: _less(known.own[Item("mia_loss", split)], known.others("mia_loss", split)) for split in MEMBERS}
    area = _area(*(found[split].numbers for split in MEMBERS))
    return Outcome(area.value, area.n, area.parts, {Item("mia_reference", split): found[split] for split in MEMBERS})


def _less(own: Values, reference: Sequence[float]) -> Values:
    return Values(own.ids, tuple(reference_score(*pair) for pair in zip(own.numbers, reference, strict=True)))
