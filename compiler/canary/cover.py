"""The fewest cells that go through everything: a greedy set cover, then without those that the others make up for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name")
Item = TypeVar("Item", bound=Hashable)


def cover(sets: Mapping[Name, frozenset[Item]]) -> dict[Name, frozenset[Item]]:
    """Names whose sets together hold every item, in their order, each with what it was chosen for: the items no other has.

    Of sets that add as much the first is taken. The true minimum is hard to find; this is within ln(n) + 1 of it
    (Chvatal 1979, doi:10.1287/moor.4.3.233), and no name in it can be left out.
    """
    chosen = _without_needless(sets, _greedy(sets))
    many = Counter(item for name in chosen for item in sets[name])
    return {name: frozenset(item for item in sets[name] if many[item] == 1) for name in sets if name in chosen}


def _greedy(sets: Mapping[Name, frozenset[Item]]) -> list[Name]:
    missing = frozenset[Item]().union(*sets.values())
    gains = {name: len(items) for name, items in sets.items()}  # never too small: what a set adds only shrinks
    chosen: list[Name] = []
    while missing:
        best, most = None, 0
        for name, gain in gains.items():
            if gain > most:
                gains[name] = len(sets[name] & missing)
                if gains[name] > most:
                    best, most = name, gains[name]
        assert best is not None  # something is missing, so some set has it
        chosen.append(best)
        missing -= sets[best]
    return chosen


def _without_needless(sets: Mapping[Name, frozenset[Item]], chosen: list[Name]) -> set[Name]:
    """The chosen names but for those all of whose items others have; the last chosen go first."""
    many = Counter(item for name in chosen for item in sets[name])
    kept = set(chosen)
    for name in reversed(chosen):
        if all(many[item] > 1 for item in sets[name]):
            kept.discard(name)
            many.subtract(sets[name])
    return kept
