"""What sharing saves: jobs that several cells need and the plan has once, and jobs that other compiled studies have, too."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compiler.diagnostics import TreeError
from compiler.plan.plan import Job, PlannedCell

_SUBMITTED = re.compile(r"^submit (\S+) ([0-9a-f]{64})", re.MULTILINE)


def shared_by_cells(cells: Sequence[PlannedCell], jobs: Sequence[Job]) -> dict[str, Any]:
    """How many of the `jobs` several cells need, how many jobs the cells would take each alone, and the GPU-hours between.

    GPU-hours are those at the time limits, as everywhere in the plan.
    """
    parents = _parents(jobs)
    asked = Counter(job for cell in cells for job in _closure([*evaluations(cell), cell.train], parents))
    hours = {job.id: float(job.cost["gpu_hours"]) for job in jobs}
    return {
        "jobs": sum(many > 1 for many in asked.values()), "asked": sum(asked.values()),
        "gpu_hours_saved": sum(hours[job] * (many - 1) for job, many in asked.items()),
    }  # fmt: skip


def needs(cells: Sequence[PlannedCell], jobs: Sequence[Job]) -> dict[str, set[str]]:
    """Every job that each cell needs to be trained and measured, by cell."""
    parents = _parents(jobs)
    return {cell.id: _closure([*evaluations(cell), cell.train], parents) for cell in cells}


def evaluations(cell: PlannedCell) -> list[str]:
    """The jobs that measure a cell: its start, its last checkpoint, those along the way, and those of its relearning."""
    points = (*cell.points, *cell.relearned)
    along = [job for point in points for job in (*point.after.values(), *point.divergence.values())]
    return [*cell.before.values(), *cell.after.values(), *cell.divergence.values(), *along]


def _parents(jobs: Sequence[Job]) -> dict[str, list[str]]:
    return {job.id: [edge.job for edge in job.inputs] for job in jobs}


def _closure(ends: Iterable[str], parents: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    ahead = list(ends)
    while ahead:
        job = ahead.pop()
        if job not in found:
            found.add(job)
            ahead += parents[job]
    return found


@dataclass(frozen=True)
class Overlap:
    """What a plan has in common with another compiled study. In one store, each is made by whichever study comes first.

    `same` are jobs of one name, and so one folder; `renamed` are pairs of names, here and there: the second study's folder
    becomes a link to the first's (runtime/store/twins.py). `gpu_hours` are those of all of them at their time limits.
    """

    study: str
    same: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    gpu_hours: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def overlaps(study: str, jobs: Sequence[Job], generated: Path) -> list[Overlap]:
    """The other studies below `generated` that have jobs of equal fingerprints. Raises TreeError."""
    try:
        scripts = sorted(path for path in generated.glob("*/submit_all.sh") if path.parent.name != study)
        texts = {path.parent.name: path.read_text(encoding="utf-8", errors="replace") for path in scripts}
    except OSError as error:
        raise TreeError(f"cannot read {generated}: {error.strerror or error}.") from error
    found = [_overlap(name, jobs, {match[2]: match[1] for match in _SUBMITTED.finditer(text)}) for name, text in texts.items()]
    return [overlap for overlap in found if overlap.same or overlap.renamed]


def _overlap(name: str, jobs: Sequence[Job], there: Mapping[str, str]) -> Overlap:
    """What `jobs` share with those of another study, which are there by fingerprint."""
    same = [job for job in jobs if there.get(job.fingerprint) == job.id]
    renamed = [(job.id, there[job.fingerprint]) for job in jobs if there.get(job.fingerprint, job.id) != job.id]
    hours = sum(float(job.cost["gpu_hours"]) for job in jobs if job.fingerprint in there)
    return Overlap(name, tuple(job.id for job in same), tuple(renamed), hours)
