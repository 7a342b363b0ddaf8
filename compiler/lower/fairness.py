"""What must hold between the cells of a plan for them to be compared, and what the whole plan may take.

`match` and `budget` are promises of the spec: a plan that breaks one is an error. What differs between compared cells beyond
the axis along which they are compared, and is not in `accept`, is a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from compiler.diagnostics import Diagnostic, nearest
from compiler.language.source import Tree
from compiler.language.study import Match, Study
from compiler.lower.context import Context
from compiler.lower.training import Chain
from compiler.plan.plan import Job, PlannedCell
from compiler.slurm import shown_size, size

MOST_SHOWN = 3
COMPARED = ("prompt", "tokens", "suites", "seed", "precision")  # facts that should be the same in cells that are compared


class Facts(NamedTuple):
    """What a comparison of one cell with others rests on. Numbers are None where they are not known before the run."""

    cell: str
    axes: Mapping[str, str]
    prompts: tuple[str, ...]
    start: str
    examples: int | None
    tokens: int | None
    gpu_hours: float
    prompt: str
    seed: str
    precision: str
    suites: str


def facts_of(context: Context, chain: Chain, cell: PlannedCell, jobs: Mapping[str, Job]) -> Facts:
    """The facts of one cell, from its trainings; `jobs` are all of the plan by id."""
    trainings, own = chain.trainings, chain.cell
    prompt = context.once(("prompt", own.start, own.scale), lambda: _said_prompt(context.prompt(own)))
    read = [training.data.job for training in trainings]
    return Facts(
        cell=cell.id, axes=cell.axes, start=chain.start.fingerprint,
        prompts=context.once(("rows", *map(id, read)), lambda: _prompts(read, jobs)),
        examples=_sum([training.cost.seen for training in trainings]),
        tokens=_sum([training.cost.tokens for training in trainings]),
        gpu_hours=sum(float(jobs[training.job.id].cost["gpu_hours"]) for training in trainings),
        prompt=prompt, seed=_values(trainings_settings(chain), "seed"),
        precision=_values(trainings_settings(chain), "precision"),
        suites=context.once(("suites", *cell.after), lambda: _said_suites(cell)),
    )  # fmt: skip


def _prompts(read: Sequence[Job], jobs: Mapping[str, Job]) -> tuple[str, ...]:
    return tuple(sorted({rows for data in read for rows in _rows(data, jobs)}))


def _said_prompt(prompt: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_word(value)}" for key, value in sorted(prompt.items()))


def _said_suites(cell: PlannedCell) -> str:
    return ", ".join(sorted({column.split(".")[0] for column in cell.after}))


def trainings_settings(chain: Chain) -> list[Mapping[str, Any]]:
    """The settings of each training of a cell."""
    return [training.job.settings for training in chain.trainings]


def check_matches(study: Study, tree: Tree, facts: Sequence[Facts]) -> Iterator[Diagnostic]:
    """Every `match` that two compared cells break, with those cells and their numbers."""
    for number, match in enumerate(study.match):
        unknown = [place for place, axis in enumerate(match.across) if facts and axis not in facts[0].axes]
        for place in unknown:
            axis = match.across[place]
            yield Diagnostic(
                tree.at(("match", number, "across", place)),
                f"there is no axis '{axis}' to compare along",
                nearest(axis, facts[0].axes),
            )
        if not unknown:
            broken = next(iter(_broken(match, facts)), None)
            if broken is not None:
                yield Diagnostic(tree.at(("match", number, "same")), broken, _advice(match))


def check_accepted(study: Study, tree: Tree, facts: Sequence[Facts]) -> Iterator[Diagnostic]:
    """Every `accept` along an axis that there is not: it would accept nothing."""
    for number, accept in enumerate(study.accept):
        if facts and accept.across not in facts[0].axes:
            at = tree.at(("accept", number, "across"))
            yield Diagnostic(at, f"there is no axis '{accept.across}' to compare along", nearest(accept.across, facts[0].axes))


def _broken(match: Match, facts: Sequence[Facts]) -> Iterator[str]:
    for group in _groups(facts, match.across):
        known = [(one.cell, getattr(one, match.same)) for one in group]
        for cell, value in known:
            if value is None:
                yield f"'{match.same}' must be the same across {_axes(match.across)}, and is not known for '{cell}'"
        for cell, value in known[1:]:
            if known[0][1] is not None and value is not None and _differ(known[0][1], value, match.within):
                told = f"{_told(known[0][1])} in '{known[0][0]}', {_told(value)} in '{cell}'"
                yield f"'{match.same}' must be the same across {_axes(match.across)}: {told}"


def _advice(match: Match) -> str:
    if match.same in ("examples", "tokens"):
        return "set steps and batch_size so that they agree, give `examples` in the domain, or allow more with `within`"
    return "drop one of the cells, or compare along other axes"


def _differ(one: Any, other: Any, within: float) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) > within * max(abs(one), abs(other))
    return bool(one != other)


def unfair(study: Study, tree: Tree, facts: Sequence[Facts]) -> Iterator[str]:
    """What compared cells differ in beyond the axis along which they are compared, once for each axis."""
    accepted = {(accept.differ, accept.across) for accept in study.accept}
    compared = {name: {one.cell: getattr(one, name) for one in facts} for name in COMPARED} | {"seed": _seed_sets(facts)}
    several = [name for name, values in compared.items() if len(set(values.values())) > 1]
    for axis in facts[0].axes if facts else ():
        asked = [name for name in several if (name, axis) not in accepted and axis.split(".")[-1] != name]
        groups = _groups(facts, [axis]) if asked else []
        for differ in asked:
            values = compared[differ]
            found = next((pair for group in groups for pair in _pairs(group, values)), None)
            if found:
                told = ", ".join(f"{_told(values[cell])} in {cell}" for cell in found)
                yield f"cells that differ in {axis} differ in {differ}, too: {told}; mend it, or name it under 'accept'"


def _seed_sets(facts: Sequence[Facts]) -> dict[str, str]:
    """Of every cell the seeds of all cells that differ from it in seeds only: three seeds are not compared with one."""
    axes = {axis for one in facts for axis in one.axes}
    told: dict[str, str] = {}
    for group in _grouped(facts, [axis for axis in axes if axis.split(".")[-1] == "seed"]):
        seeds = {seed for one in group for seed in one.seed.split(", ")}
        told |= dict.fromkeys((one.cell for one in group), ", ".join(sorted(seeds)))
    return told


def _pairs(group: Sequence[Facts], values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The cells of a group of which a value is known that differs from the first one's."""
    first = group[0].cell
    for other in group[1:]:
        both = values[first], values[other.cell]
        if None not in both and both[0] != both[1]:
            yield first, other.cell


def _groups(facts: Sequence[Facts], across: Sequence[str]) -> list[list[Facts]]:
    """Cells that differ in nothing but the axes `across`; some cells that do."""
    return [group for group in _grouped(facts, across) if len(group) > 1]


def _grouped(facts: Sequence[Facts], across: Sequence[str]) -> Iterable[list[Facts]]:
    """All cells, by what they are on other axes than those `across`."""
    others = [axis for axis in (facts[0].axes if facts else ()) if axis not in across]  # all cells have the same axes
    rest = itemgetter(*others) if others else lambda axes: None
    groups: dict[Any, list[Facts]] = {}
    for one in facts:
        groups.setdefault(rest(one.axes), []).append(one)
    return groups.values()


def check_budget(study: Study, tree: Tree, jobs: Sequence[Job]) -> Iterator[Diagnostic]:
    """What the plan takes more of than it may."""
    budget = study.budget
    if budget.gpu_hours is None and budget.jobs is None and budget.storage is None:
        return
    hours = sum(float(job.cost["gpu_hours"]) for job in jobs)
    stored = sum(float(job.cost["storage"] or 0) for job in jobs)
    if budget.gpu_hours is not None and hours > budget.gpu_hours:
        message = f"the plan takes up to {hours:,.1f} GPU-hours; the budget is {budget.gpu_hours:,g}"
        yield Diagnostic(tree.at(("budget", "gpu_hours")), message, "drop cells, shorten time limits, or raise the budget")
    if budget.jobs is not None and len(jobs) > budget.jobs:
        message = f"the plan has {len(jobs):,} jobs; the budget is {budget.jobs:,}"
        yield Diagnostic(tree.at(("budget", "jobs")), message, "drop cells or suites, or raise the budget")
    if budget.storage is not None and stored > size(budget.storage):
        message = f"the plan's checkpoints take about {shown_size(stored)}; the budget is {budget.storage}"
        yield Diagnostic(tree.at(("budget", "storage")), message, "keep fewer checkpoints, drop cells, or raise the budget")


def _rows(data: Job, jobs: Mapping[str, Job]) -> Iterable[str]:
    """The rows that a dataset was made from, however indirectly."""
    for edge in data.inputs:
        if edge.type == "dataset.rows":
            yield edge.fingerprint
        elif edge.type.startswith("dataset."):
            yield from _rows(jobs[edge.job], jobs)


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _values(settings: Sequence[Mapping[str, Any]], name: str) -> str:
    return ", ".join(dict.fromkeys(_word(one[name]) for one in settings if name in one))


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _told(value: Any) -> str:
    if isinstance(value, tuple):
        return f"rows {', '.join(str(one)[:8] for one in value[:MOST_SHOWN])}"
    if isinstance(value, str):
        return value[:8] if len(value) == 64 else f"'{value}'"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _axes(names: Sequence[str]) -> str:
    return " and ".join(names)
