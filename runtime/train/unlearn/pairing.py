"""Which row to retain, and which refusal, goes with a row to forget: drawn by what names the visit, and by nothing else.

So a draw depends on neither devices, micro-batches, workers nor where a stopped training goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch.utils.data import Dataset, Sampler

from runtime.prompts import Tokens
from runtime.sampling import item_seed

PAIRINGS = ("with_replacement", "permutation")


class Visit(NamedTuple):
    """The forget row `row`, seen as number `place` of the epoch."""

    epoch: int
    place: int
    row: int


class Visits(Sampler[Visit]):
    """An epoch's visits: all rows in an order of its own, without the last few that fill no batch of `batch_size`.

    Fewer rows than a batch are one batch. `epoch` tells which epoch it is, when an iteration begins.
    """

    def __init__(self, rows: int, batch_size: int, seed: int, epoch: Callable[[], int]) -> None:
        self.rows = rows
        self.whole = rows - rows % batch_size or rows
        self.seed = seed
        self.epoch = epoch

    def __len__(self) -> int:
        return self.whole

    def __iter__(self) -> Iterator[Visit]:
        return iter(self.of_epoch(self.epoch()))

    def of_epoch(self, epoch: int) -> list[Visit]:
        """The visits of that epoch."""
        order = _shuffled(self.rows, item_seed(self.seed, "order", epoch))[: self.whole]
        return [Visit(epoch, place, row) for place, row in enumerate(order)]


@dataclass(frozen=True)
class Draws:
    """How rows are paired, the seeds of the dataset and of the training, both of which decide a draw, and an epoch's visits."""

    pairing: str
    seeds: tuple[int, int]
    a_visits: int

    def retain(self, visit: Visit, rows: int) -> int:
        """The retain row of a visit, one of so many."""
        if self.pairing == "with_replacement":
            return self._any("retain", visit, rows)
        number = visit.epoch * self.a_visits + visit.place
        return _shuffled(rows, item_seed(self.seeds[0], self.seeds[1], "retain", number // rows))[number % rows]

    def alternate(self, visit: Visit, many: int) -> int:
        """The alternate of a visit, one of so many."""
        return self._any("alternate", visit, many)

    def _any(self, what: str, visit: Visit, many: int) -> int:
        return item_seed(self.seeds[0], self.seeds[1], what, visit.epoch, visit.row) % many


@dataclass(frozen=True)
class Alternates:
    """Answers to prefer: to each row to forget one of so `many`, made by `tokens(row, number)`."""

    many: int
    tokens: Callable[[int, int], Tokens]


@dataclass(frozen=True)
class Sets:
    """The sequences to forget and, where the objective wants them, to retain and to prefer; and how they are put together."""

    forget: Sequence[Tokens]
    retain: Sequence[Tokens] = ()
    alternates: Alternates | None = None
    pairing: str = "with_replacement"
    seed: int = 0


class Pairs(Dataset[Mapping[str, Tokens]]):
    """Of each visit the sequences `forget`, `retain` and `alternate`, as far as there are any."""

    def __init__(self, sets: Sets, draws: Draws) -> None:
        self.sets = sets
        self.draws = draws

    def __len__(self) -> int:
        return len(self.sets.forget)

    def __getitem__(self, visit: Visit) -> Mapping[str, Tokens]:
        sets = self.sets
        found = {"forget": sets.forget[visit.row]}
        if sets.retain:
            found["retain"] = sets.retain[self.draws.retain(visit, len(sets.retain))]
        if sets.alternates:
            found["alternate"] = sets.alternates.tokens(visit.row, self.draws.alternate(visit, sets.alternates.many))
        return found


@cache
def _shuffled(many: int, seed: int) -> Sequence[int]:
    """0 … many - 1 in an order that the seed decides."""
    return tuple(torch.randperm(many, generator=torch.Generator().manual_seed(seed)).tolist())
