"""Learning against forgetting over a sweep, and forgetting against how far a model has moved (RL's Razor, arXiv 2509.04259).

Runs that differ only in a seed are one setting. A sweep is all settings of one domain from one start at one scale: their scores
may be put side by side. On its front stand the settings of a method that no other setting of that method beats in both. The
paper finds forgetting to follow KL(start || model) on the new task, whatever the method, as a polynomial of degree 2; the same
polynomial is fitted here over all runs, and over those of each seed, which gives R^2 an interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from runtime.report.divergence import DIRECTIONS, Divergence, Moved
from runtime.report.fit import Quadratic, quadratic
from runtime.report.seeds import Mean, mean
from runtime.report.settings import NEEDED_AXES, Cell
from runtime.report.statistics import correlation
from runtime.report.summary import Section
from runtime.report.wording import with_axis

PAPER = "arXiv 2509.04259"
# R^2 of the same fit there: a network on parity of digits (± over seeds), and language models. None: not published.
PUBLISHED: Mapping[str, tuple[str, ...]] = {
    "forward": ("ParityMNIST 0.96 ± 0.01", "language models 0.71"),
    "reverse": ("ParityMNIST 0.93",),
}


@dataclass(frozen=True)
class Run:
    """One trained model: its score on what it trained, the mean change on what it did not, and its divergences an answer."""

    cell: Cell
    seed: str
    learned: float
    change: float
    kl: Mapping[str, float]

    @property
    def forgotten(self) -> float:
        return -self.change


@dataclass(frozen=True)
class Setting:
    """Runs that differ only in their seed; `on_front` when no other setting of the method learns more and forgets less."""

    method: str
    name: str
    runs: tuple[Run, ...]
    planned: int
    learned: Mean
    change: Mean
    kl: Mapping[str, Mean]
    on_front: bool


@dataclass(frozen=True)
class Law:
    """Forgetting as a polynomial of one divergence: over all runs, and R^2 over those of each seed, with their mean."""

    direction: str
    fit: Quadratic
    by_seed: Mapping[str, float]
    r2: Mean | None
    spearman: float


@dataclass(frozen=True)
class Sweep:
    """All settings of one domain from one start at one scale, methods in the study's order; laws by direction, where known."""

    start: str
    scale: str
    domain: str
    settings: tuple[Setting, ...]
    laws: Mapping[str, Law]

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(setting.method for setting in self.settings))

    @property
    def runs(self) -> list[Run]:
        return [run for setting in self.settings for run in setting.runs]


def sweeps(sections: Iterable[Section], moved: Iterable[Moved], confidence: float) -> tuple[Sweep, ...]:
    """Every sweep of which there are runs with scores, changes and divergences; nothing where no divergence was measured."""
    known = {m.cell.id: m.outcome for m in moved if m.point is None and isinstance(m.outcome, Divergence)}
    found = []
    for section in sections:
        for domain in dict.fromkeys(cell.domain for cell in section.cells):
            cells = [cell for cell in section.cells if cell.domain == domain]
            runs = [run for cell in cells if cell.id in known for run in _run(cell, section, known[cell.id])]
            if runs:
                found.append(_sweep(section, domain, cells, runs, confidence))
    return tuple(found)


def _run(cell: Cell, section: Section, divergence: Divergence) -> list[Run]:
    """The cell as a run; nothing while it has no score on its domain, or no change elsewhere can be told."""
    summary = section.summaries[cell.id]
    if summary.partial or summary.trained_score is None or summary.others is None:
        return []
    return [Run(cell, _seed(cell), summary.trained_score, summary.others.delta.value, divergence.per_answer)]


def _sweep(section: Section, domain: str, cells: Sequence[Cell], runs: Sequence[Run], confidence: float) -> Sweep:
    planned: dict[tuple[str, ...], list[Run]] = {_setting(cell): [] for cell in cells}
    for run in runs:
        planned[_setting(run.cell)].append(run)
    many = {key: sum(_setting(cell) == key for cell in cells) for key in planned}
    there = [_settled(own, many[key], confidence) for key, own in planned.items() if own]
    methods = [cell.method for cell in cells]
    ordered = sorted(there, key=lambda setting: methods.index(setting.method))
    laws = {side: law for side in DIRECTIONS if (law := _law(side, runs, confidence)) is not None}
    return Sweep(section.start, section.scale, domain, tuple(_fronts(ordered)), laws)


def is_seed(axis: str) -> bool:
    """Whether an axis only draws the same training again."""
    return axis == "seed" or axis.endswith(".seed")


def _seed(cell: Cell) -> str:
    return ", ".join(value for axis, value in cell.axes.items() if is_seed(axis))


def _setting(cell: Cell) -> tuple[str, ...]:
    return tuple(value for axis, value in cell.axes.items() if not is_seed(axis))


def _name(cell: Cell) -> str:
    """A setting within its method and sweep: what the study's own axes say."""
    own = [with_axis(axis, value) for axis, value in cell.axes.items() if axis not in NEEDED_AXES and not is_seed(axis)]
    return " ".join(own) or "as it is"


def _settled(runs: Sequence[Run], planned: int, confidence: float) -> Setting:
    cell = runs[0].cell
    return Setting(
        method=cell.method,
        name=_name(cell),
        runs=tuple(runs),
        planned=planned,
        learned=mean([run.learned for run in runs], confidence),
        change=mean([run.change for run in runs], confidence),
        kl={side: mean([run.kl[side] for run in runs], confidence) for side in DIRECTIONS},
        on_front=False,
    )


def _fronts(settings: Sequence[Setting]) -> list[Setting]:
    """The settings, those on the front of their method marked."""
    beaten = {id(one) for one in settings for other in settings if other.method == one.method and _beats(other, one)}
    return [replace(one, on_front=id(one) not in beaten) for one in settings]


def _beats(one: Setting, other: Setting) -> bool:
    """As good in both means, and better in one."""
    learns, keeps = one.learned.value - other.learned.value, one.change.value - other.change.value
    return learns >= 0 and keeps >= 0 and (learns > 0 or keeps > 0)


def _law(direction: str, runs: Sequence[Run], confidence: float) -> Law | None:
    fit = quadratic([(run.kl[direction], run.forgotten) for run in runs])
    if fit is None:
        return None
    seeds: dict[str, list[Run]] = {}
    for run in runs:
        seeds.setdefault(run.seed, []).append(run)
    fits = {seed: quadratic([(run.kl[direction], run.forgotten) for run in own]) for seed, own in seeds.items()}
    by_seed = {seed: found.r2 for seed, found in fits.items() if found is not None}
    spread = mean(list(by_seed.values()), confidence) if len(by_seed) > 1 else None
    return Law(direction, fit, by_seed, spread, _spearman(direction, runs))


def _spearman(direction: str, runs: Sequence[Run]) -> float:
    """The rank correlation of forgetting with a divergence, which assumes no form of their relation."""
    moves, losses = [run.kl[direction] for run in runs], [run.forgotten for run in runs]
    if len(set(moves)) == 1 or len(set(losses)) == 1:
        return 0.0
    return correlation(_ranks(moves), _ranks(losses))


def _ranks(values: Sequence[float]) -> list[float]:
    """The place of each among all, from the smallest; equal ones share the mean of theirs."""
    return [sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values]
