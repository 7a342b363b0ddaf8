"""Failures that are alike, what their cells share, and the words that select them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from runtime.operations.status.matrix import cells_of
from runtime.operations.status.states import State, Status
from runtime.operations.status.study import Study
from runtime.operations.triage.signatures import Finding, Signature, finding

FAILED = ("failed", "truncated", "unknown")
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")  # needs no care in a selection


@dataclass(frozen=True)
class Group:
    """Jobs that failed alike. `common` are the axes on which all its cells have one value, where the study has several.

    `select` are words for `lethe` that mean exactly these jobs; `holds_up` are jobs that can never start because of them.
    """

    signature: Signature
    jobs: tuple[State, ...]
    cells: tuple[str, ...]
    common: Mapping[str, str]
    line: str
    log: str
    select: str
    holds_up: int


def groups_of(study: Study, status: Status, names: Collection[str] | None, signatures: Sequence[Signature]) -> list[Group]:
    """The failures among the jobs `names` (all where None), grouped by signature, the largest group first."""
    asked = [item for item in status.jobs if item.state in FAILED and (names is None or item.job in names)]
    found: dict[str, list[tuple[State, Finding]]] = {}
    for item in asked:
        what = finding(item, signatures)
        found.setdefault(what.signature.id, []).append((item, what))
    groups = [_group(study, status, own) for own in found.values()]
    return sorted(groups, key=lambda group: (-len(group.cells), -len(group.jobs)))


def _group(study: Study, status: Status, own: Sequence[tuple[State, Finding]]) -> Group:
    jobs = tuple(item for item, _ in own)
    names = {item.job for item in jobs}
    members = cells_of(study)
    cells = [cell for cell in study.cells if any(cell["id"] in members.get(name, ()) for name in names)]
    axes = [cell["axes"] for cell in cells]
    told = next((what for _, what in own if what.line), own[0][1])
    log = next(item.log for item, what in own if what is told)
    return Group(
        signature=told.signature,
        jobs=jobs,
        cells=tuple(cell["id"] for cell in cells),
        common=_common(study, axes),
        line=told.line,
        log=log,
        select=_selecting(study, status, jobs, axes),
        holds_up=sum(item.culprit in names for item in status.jobs),
    )


def _common(study: Study, cells: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The axes on which these cells have one value, where the study has several."""
    shared = set.intersection(*({*axes.items()} for axes in cells)) if cells else set()
    return {axis: value for axis, values in study.axes.items() for found, value in shared if axis == found and len(values) > 1}


def _selecting(study: Study, status: Status, jobs: Sequence[State], cells: Sequence[Mapping[str, str]]) -> str:
    """Words that select exactly these jobs: by what they share if that is enough, else by their names."""
    wanted = {item.job for item in jobs}
    kinds, states = sorted({item.kind for item in jobs}), sorted({item.state for item in jobs})
    common = _common(study, cells)
    criteria = [f"{axis}:{value}" for axis, value in common.items()]
    criteria += [f"stage:{'|'.join(kinds)}", f"result:{'|'.join(states)}"]
    plain = all(_PLAIN.fullmatch(word) for item in common.items() for word in item)
    meant = {item.job for item in status.jobs if item.kind in kinds and item.state in states} & _with(study, common)
    return ",".join(criteria) if plain and meant == wanted else "job:" + "|".join(item.job for item in jobs)


def _with(study: Study, common: Mapping[str, str]) -> set[str]:
    """The jobs that have, for each of these values, a cell with it."""
    members, axes = cells_of(study), {cell["id"]: cell["axes"] for cell in study.cells}
    return {job for job in study.by_id if all(_has(members.get(job, ()), axes, *item) for item in common.items())}


def _has(cells: Iterable[str], axes: Mapping[str, Mapping[str, str]], axis: str, value: str) -> bool:
    return any(axes[cell].get(axis) == value for cell in cells)
