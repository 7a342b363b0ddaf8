"""Many jobs in few words: by the values of their cells on the axes, or else by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from compiler.language.study import NAMED
from compiler.plan.plan import Job

MOST_NAMES = 4
MOST_PARTS = 3  # descriptions joined by "and", before names say more

NOUNS: Mapping[str, str] = {
    "prepare": "data set of rows", "fetch": "download", "pretrain": "pre-training", "generate": "generation",
    "build": "dataset", "mix": "mix", "train": "training", "convert": "conversion", "merge": "merge",
    "pick": "pick", "evaluate": "evaluation", "report": "report",
}  # fmt: skip
_PLURALS: Mapping[str, str] = {"data set of rows": "data sets of rows", "mix": "mixes"}

_ALL_BUT = "all but "

Axes = tuple[tuple[str, str], ...]


def counted(kinds: Iterable[str]) -> str:
    """How many jobs of each kind: `12 trainings, 36 evaluations and 1 report`."""
    numbers: dict[str, int] = {}
    for kind in kinds:
        numbers[kind] = numbers.get(kind, 0) + 1
    return joined([amount(number, NOUNS.get(kind, f"{kind} job")) for kind, number in numbers.items()])


def amount(number: int, noun: str) -> str:
    """A number with its noun: `1 report`, `1,200 jobs`."""
    return f"{number:,} {noun if number == 1 else _PLURALS.get(noun, noun + 's')}"


def are(number: int, noun: str) -> str:
    """A number with its noun and its verb: `1 result is`, `9 results are`."""
    return f"{amount(number, noun)} {'is' if number == 1 else 'are'}"


def joined(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def names(jobs: Sequence[str], most: int = MOST_NAMES) -> str:
    """The jobs' names, of many the first ones."""
    if len(jobs) <= most + 1:
        return ", ".join(jobs)
    return f"{', '.join(jobs[:most])} and {len(jobs) - most:,} more"


@dataclass(frozen=True)
class Roster:
    """The jobs among which some are to be described, such as those of a plan."""

    jobs: Mapping[str, Job]

    def describe(self, chosen: Sequence[str], *, kinds: bool = False) -> str:
        """`12 cells of method=on_rl`; jobs of no cell, and such as no few axes describe, by name.

        What kinds of jobs they are is said if it is not plain, or if `kinds` asks for it.
        """
        if len(chosen) == 1:
            return chosen[0]
        of_cells = [name for name in chosen if self.jobs[name].cell]
        others = [name for name in chosen if not self.jobs[name].cell]
        parts = [self._in_cells(of_cells, kinds)] if len(of_cells) > 1 else of_cells
        parts += [f"{self._counted(others)}: {names(others)}" if len(others) > 2 else joined(others)] if others else []
        return ", and ".join(parts)

    def _counted(self, chosen: Sequence[str]) -> str:
        return counted(self.jobs[name].kind for name in chosen)

    def _in_cells(self, chosen: Sequence[str], kinds: bool) -> str:
        found = {self.jobs[name].kind for name in chosen}
        cells = list(dict.fromkeys(_axes(self.jobs[name]) for name in chosen))
        known = self._of_kind[next(iter(found))] if len(found) == 1 else self._all
        plain = found == {"train"} and len(cells) == len(chosen) and not kinds
        shown, where = "" if plain else f"{self._counted(chosen)} in ", known.where(cells)
        many = amount(len(cells), "cell")
        if where is None:
            return f"{shown}{many}: {names(chosen)}"
        if where.startswith(_ALL_BUT):
            return f"{shown}{many}, {where}"
        return f"{shown}{many} of {where}" if where else f"{shown}all {many}"

    @cached_property
    def _all(self) -> CellList:
        """All cells that have jobs of their own."""
        return CellList.of(_axes(job) for job in self.jobs.values() if job.cell)

    @cached_property
    def _of_kind(self) -> Mapping[str, CellList]:
        """The cells that have jobs of a kind."""
        found: dict[str, list[Axes]] = {}
        for job in self.jobs.values():
            if job.cell:
                found.setdefault(job.kind, []).append(_axes(job))
        return {kind: CellList.of(cells) for kind, cells in found.items()}


def _axes(job: Job) -> Axes:
    """A job's cell, its axes in one order however the plan was read."""
    cell = job.cell or {}
    return tuple(sorted(cell.items(), key=lambda item: (NAMED.index(item[0]) if item[0] in NAMED else len(NAMED), item[0])))


@dataclass(frozen=True)
class CellList:
    """Cells as numbers, and for each axis the cells of each value as the bits of one integer."""

    numbers: Mapping[Axes, int]
    index: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(cls, cells: Iterable[Axes]) -> CellList:
        numbers = {axes: number for number, axes in enumerate(dict.fromkeys(cells))}
        found: dict[str, dict[str, list[int]]] = {}
        for axes, number in numbers.items():
            for axis, value in axes:
                found.setdefault(axis, {}).setdefault(value, []).append(number)
        return cls(numbers, {axis: {v: _bits(n) for v, n in values.items()} for axis, values in found.items()})

    def where(self, cells: Sequence[Axes]) -> str | None:
        """Few words on axes that mean exactly these cells: empty for all of them, None where there are none."""
        whole = self._product(cells)
        if whole is not None:
            return whole
        rest = self._others(cells)
        left_out = self._product(rest) if len(rest) < len(cells) else None
        if left_out:
            return _ALL_BUT + left_out
        for axis in self.index:
            parts: dict[str | None, list[Axes]] = {}
            for cell in cells:
                parts.setdefault(dict(cell).get(axis), []).append(cell)
            described = [self._product(part) for part in parts.values()] if len(parts) <= MOST_PARTS else []
            if described and all(described):
                return " and of ".join(filter(None, described))
        return None

    def _others(self, cells: Sequence[Axes]) -> list[Axes]:
        """All cells but these."""
        these = set(cells)
        return [axes for axes in self.numbers if axes not in these] if 2 * len(these) > len(self.numbers) else list(cells)

    def _product(self, cells: Sequence[Axes]) -> str | None:
        """The same as a product of values on as few axes as can be."""
        wanted = _bits([self.numbers[cell] for cell in cells])
        chosen: dict[str, dict[str, None]] = {}
        for cell in cells:
            for axis, value in cell:
                chosen.setdefault(axis, {})[value] = None
        if self._meant(chosen) != wanted:
            return None
        for axis in sorted(chosen, key=lambda axis: -len(chosen[axis])):
            fewer = {other: values for other, values in chosen.items() if other != axis}
            if self._meant(fewer) == wanted:
                chosen = fewer
        return ", ".join(self._said(axis, values) for axis, values in chosen.items())

    def _said(self, axis: str, values: Mapping[str, None]) -> str:
        """`method=gt_sft|on_rl`, or `method!=staged` where that is all but one of many."""
        others = [value for value in self.index[axis] if value not in values]
        return f"{axis}!={others[0]}" if len(others) == 1 and len(values) > 2 else f"{axis}={'|'.join(values)}"

    def _meant(self, chosen: Mapping[str, Iterable[str]]) -> int:
        """The cells with one of the chosen values on each axis named."""
        found = (1 << len(self.numbers)) - 1
        for axis, values in chosen.items():
            some = 0
            for value in values:
                some |= self.index[axis][value]
            found &= some
        return found


def _bits(numbers: Sequence[int]) -> int:
    """An integer with these bits; made in one go, since adding them one by one would take time squared."""
    found = bytearray(max(numbers, default=0) // 8 + 1)
    for number in numbers:
        found[number // 8] |= 1 << number % 8
    return int.from_bytes(found, "little")
