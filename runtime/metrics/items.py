"""Numbers of single rows: what each is made of, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from runtime.metrics.encode import Scored
from runtime.metrics.forward import Kept, Tokens
from runtime.metrics.membership import min_k, min_k_plus_plus, recall_score, zlib_score
from runtime.metrics.memorization import LastToken, NothingExtracted, counted, exact_memorization, extraction_strength
from runtime.metrics.probability import mean_nll, normalised_probability, probability
from runtime.metrics.truth_ratio import right_share, truth_ratio

FORGET = "forget"

Role = Literal["answer", "right", "wrong", "behind"]
Made = Literal["tokens", "answers", "gradients", "fluency"]


class Item(NamedTuple):
    """A number that every row of a split has: the quantity, and the split."""

    quantity: str
    split: str


@dataclass(frozen=True)
class Values:
    """An item's numbers, in the order of the split's rows, with the rows' ids."""

    ids: tuple[str, ...]
    numbers: tuple[float, ...]


@dataclass(frozen=True)
class Options:
    """The settings that choose between forms of a number; evaluate_unlearning.schema.json of the native backend has them."""

    rouge: str
    truth_ratio: str
    last_token: LastToken
    nothing_extracted: NothingExtracted
    min_k: float
    gradient_norm: float

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Options:
        """Those of a job's config."""
        return cls(**{name: config[name] for name in cls.__dataclass_fields__})


class Seen(NamedTuple):
    """A scored sequence and what the forward pass kept of it."""

    scored: Scored
    tokens: Tokens


Row = Mapping[Role, Sequence[Seen]]
"""What was seen of one row: its answer or text, the right answer of the truth ratio, the wrong ones, and the answer behind the
prefix of ReCall."""


@dataclass(frozen=True)
class Quantity:
    """What a number is made of, and, where that is tokens, the sequences of a row that it needs, its
    definition, and how much of each token it takes."""

    made: Made
    roles: tuple[Role, ...] = ()
    of: Callable[[Row, Options, str], float] | None = None
    kept: Kept = Kept.LOG_PROBS


def counted_labels(scored: Scored, options: Options) -> int:
    """How many of its labels count where the last one may not."""
    return counted(scored.labels, scored.ends, options.last_token)


def _nll(row: Row, role: Role = "answer") -> float:
    return mean_nll(row[role][0].tokens.log_probs)


def _prob(row: Row, options: Options, split: str) -> float:
    return probability(_nll(row))


def _prob_normalised(row: Row, options: Options, split: str) -> float:
    return normalised_probability(probability(_nll(row)), [probability(nll) for nll in _wrong(row)])


def _truth_ratio(row: Row, options: Options, split: str) -> float:
    """On the forget set always the ratio itself; elsewhere what the aggregator sums up."""
    found = right_share if options.truth_ratio == "prob_mean" and split != FORGET else truth_ratio
    return found(_nll(row, "right"), _wrong(row))


def _wrong(row: Row) -> list[float]:
    return [mean_nll(seen.tokens.log_probs) for seen in row["wrong"]]


def _exact_memorization(row: Row, options: Options, split: str) -> float:
    return exact_memorization(_right(row, options))


def _extraction_strength(row: Row, options: Options, split: str) -> float:
    return extraction_strength(_right(row, options), options.nothing_extracted)


def _right(row: Row, options: Options) -> np.ndarray:
    scored, tokens = row["answer"][0]
    return _kept(tokens.right)[: counted_labels(scored, options)]


def _kept(numbers: np.ndarray | None) -> np.ndarray:
    if numbers is None:
        raise RuntimeError("the forward pass was to keep this")
    return numbers


def _loss(row: Row, options: Options, split: str) -> float:
    return _nll(row)


def _zlib(row: Row, options: Options, split: str) -> float:
    return zlib_score(_nll(row), row["answer"][0].scored.text)


def _min_k(row: Row, options: Options, split: str) -> float:
    scored, tokens = row["answer"][0]
    return min_k(tokens.log_probs[: counted_labels(scored, options)], options.min_k)


def _min_k_plus_plus(row: Row, options: Options, split: str) -> float:
    scored, tokens = row["answer"][0]
    many = counted_labels(scored, options)
    means, variances = _kept(tokens.means)[:many], _kept(tokens.variances)[:many]
    return min_k_plus_plus(tokens.log_probs[:many], means, variances, options.min_k)


def _recall(row: Row, options: Options, split: str) -> float:
    return recall_score(_nll(row), _nll(row, "behind"))


QUANTITIES: Mapping[str, Quantity] = {
    "prob": Quantity("tokens", ("answer",), _prob),
    "prob_normalised": Quantity("tokens", ("answer", "wrong"), _prob_normalised),
    "truth_ratio": Quantity("tokens", ("right", "wrong"), _truth_ratio),
    "exact_memorization": Quantity("tokens", ("answer",), _exact_memorization, Kept.RIGHT),
    "extraction_strength": Quantity("tokens", ("answer",), _extraction_strength, Kept.RIGHT),
    "mia_loss": Quantity("tokens", ("answer",), _loss),
    "mia_zlib": Quantity("tokens", ("answer",), _zlib),
    "mia_min_k": Quantity("tokens", ("answer",), _min_k),
    "mia_min_k_plus_plus": Quantity("tokens", ("answer",), _min_k_plus_plus, Kept.MOMENTS),
    "mia_recall": Quantity("tokens", ("answer", "behind"), _recall),
    "mia_gradnorm": Quantity("gradients"),
    "rouge": Quantity("answers"),
    "fluency": Quantity("fluency"),
}
