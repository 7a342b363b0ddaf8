"""How datasets of several domains become one: how many rows each gives, in which order, and which shard they fall into."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from runtime.data.rows import Row
from runtime.errors import JobError

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """One domain's rows; `share` is its weight in the mixture, or None for all of them; `grader` is None where none grades."""

    name: str
    share: float | None
    grader: str | None
    rows: Sequence[Row]


def drawn(lengths: Mapping[str, int], shares: Mapping[str, float | None]) -> dict[str, int]:
    """How many of each part's rows the mixture takes: all of them, or as many as the shares allow.

    With shares s_i that sum to 1 and the largest T for which s_i T rows are there of every part, part i gives floor(s_i T),
    computed without rounding: the part that is scarcest goes in whole. Raises JobError where a part would give no row, and
    where some parts have a share and others have none.
    """
    given = {name: Fraction(str(share)) for name, share in shares.items() if share is not None}
    if given and len(given) < len(lengths):
        missing = next(name for name in lengths if name not in given)
        raise JobError(f"parts: {missing} has no share, but others have; give every part a share, or none")
    whole = sum(given.values())
    total = min((lengths[name] * whole / share for name, share in given.items()), default=Fraction(0))
    counts = {name: int(given[name] / whole * total) for name in lengths} if given else dict(lengths)
    for name, count in counts.items():
        if not count:
            raise JobError(f"parts: {name} gives no row of its {lengths[name]}; give it more rows, or a larger share")
    return counts


def mixed(parts: Sequence[Part], seed: int) -> list[dict[str, Any]]:
    """The drawn rows of all parts, shuffled, each with its own `domain` and `grader`.

    Rows are drawn without replacement, each part's from a generator of its own, so that a part's draw does not depend on the
    others' order.
    """
    counts = drawn({part.name: len(part.rows) for part in parts}, {part.name: part.share for part in parts})
    pool = [
        {**row, "domain": part.name, "grader": part.grader}
        for part in parts
        for row in random.Random(f"{seed}:{part.name}").sample(part.rows, counts[part.name])
    ]
    random.Random(seed).shuffle(pool)
    return pool


def shard(rows: Sequence[T], index: int, of: int) -> Sequence[T]:
    """The `index`-th (from 1) of `of` consecutive pieces of `rows`; the first `len(rows) % of` have one row more."""
    if not 1 <= index <= of <= len(rows):
        raise JobError(f"shard {index} of {of} cannot be taken of {len(rows)} rows; give index and of within that")
    size, over = divmod(len(rows), of)
    first = (index - 1) * size + min(index - 1, over)
    return rows[first : first + size + (index <= over)]
