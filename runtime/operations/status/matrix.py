"""The states of a study's cells, seen as a matrix: methods by domains, and a block for each point of the other axes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.local.display import clock
from runtime.operations.status.states import BROKEN, State
from runtime.operations.status.study import PlannedJob, Study

ROWS, COLUMNS = "method", "domain"
# Which of several jobs tells most of a cell that is not done.
URGENT = (
    "failed", "truncated", "cancelled", "upstream", "unknown",
    "running", "held", "queued", "waiting", "stale", "never", "done",
)  # fmt: skip
TRAINING = ("train", "convert", "merge", "pick")  # kinds that make a cell's checkpoint, also where several cells share it
NO_CELL = "."


@dataclass(frozen=True)
class CellState:
    """How a cell is doing: the state of the job that tells most of it, and how many of its jobs are done.

    It is upstream, rather than failed, where what failed is not the cell's own.
    """

    cell: str
    axes: Mapping[str, str]
    state: str
    job: State
    done: int
    total: int


def cells_of(study: Study) -> dict[str, tuple[str, ...]]:
    """The cells that each job trains or measures, by job; jobs of no cell are not named."""
    found: dict[str, dict[str, None]] = {}
    for cell in study.cells:
        for job in _own_jobs(study, cell):
            found.setdefault(job, {})[cell["id"]] = None
    return {job: tuple(cells) for job, cells in found.items()}


def cell_states(study: Study, states: Mapping[str, State]) -> list[CellState]:
    """The state of every cell, in the plan's order."""
    return [_cell_state(study, cell, states) for cell in study.cells]


def _cell_state(study: Study, cell: Mapping[str, Any], states: Mapping[str, State]) -> CellState:
    own = _own_jobs(study, cell)
    needed = _with_needs(study, own)
    found = [states[job["id"]] for job in study.jobs if job["id"] in needed]
    measured = [states[job] for job in own if job in _evaluations(cell)] or [states[cell["train"]]]
    whole = all(state.state == "done" for state in measured)
    telling = min(found, key=lambda state: URGENT.index("done" if whole else state.state))
    lent = telling.state in BROKEN and telling.job not in own
    state = "done" if whole else "upstream" if lent else telling.state
    done = sum(item.state == "done" for item in found)
    return CellState(cell["id"], cell["axes"], state, telling, done, len(found))


def _own_jobs(study: Study, cell: Mapping[str, Any]) -> list[str]:
    """The jobs of a cell: those that make its checkpoints, and those that measure them."""
    made = {cell["train"], *(point["checkpoint"] for point in _points(cell))}
    chain = _with_needs(study, made)
    training = {name for name in chain if study.by_id[name].get("cell") is not None or study.by_id[name]["kind"] in TRAINING}
    wanted = training | set(_evaluations(cell))
    return [job["id"] for job in study.jobs if job["id"] in wanted]


def _evaluations(cell: Mapping[str, Any]) -> list[str]:
    return [*cell["after"].values(), *(job for point in _points(cell) for job in point["after"].values())]


def _points(cell: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The checkpoints along a cell's way, and those of its relearning."""
    return [*cell["points"], *cell.get("relearned", ())]


def _with_needs(study: Study, names: Collection[str]) -> set[str]:
    """These jobs and all that they are made from."""
    reached, border = set(names), list(names)
    while border:
        job: PlannedJob = study.by_id[border.pop()]
        new = {edge["job"] for edge in job["inputs"]} - reached
        reached |= new
        border += new
    return reached


# ---- what is printed ------------------------------------------------------------------------------------------------


def matrix(study: Study, cells: Sequence[CellState]) -> list[str]:
    """The lines of the matrix: a block for each point of the axes beyond the first two, under its heading."""
    rows, columns, others = _layout(cells)
    blocks: dict[tuple[tuple[str, str], ...], list[CellState]] = {}
    for cell in cells:
        at = tuple((axis, cell.axes[axis]) for axis in others if axis in cell.axes)
        blocks.setdefault(at, []).append(cell)
    lines: list[str] = []
    for at, own in blocks.items():
        heading = " ".join(f"{axis}={value}" for axis, value in at)
        lines += [*_block(study, own, rows, columns, heading), ""]
    return lines


def _layout(cells: Sequence[CellState]) -> tuple[str, str, list[str]]:
    """The axes of rows and columns (method and domain, or the first two that there are), and the others that vary."""
    there = list(dict.fromkeys(axis for cell in cells for axis in cell.axes))
    first = [axis for axis in (ROWS, COLUMNS) if axis in there]
    rows, columns, *rest = [*first, *(axis for axis in there if axis not in first), "", ""]
    return rows, columns, [axis for axis in rest if axis and len({cell.axes.get(axis) for cell in cells}) > 1]


def _block(study: Study, cells: Sequence[CellState], rows: str, columns: str, heading: str) -> Iterator[str]:
    down = _values(study, cells, rows)
    across = _values(study, cells, columns)
    words: dict[tuple[str, str], str] = {}
    for cell in cells:
        words[cell.axes.get(rows, ""), cell.axes.get(columns, "")] = in_words(cell)
    grid = [[heading, *across], *([row, *(words.get((row, column), NO_CELL) for column in across)] for row in down)]
    widths = [max(len(line[i]) for line in grid) for i in range(len(across) + 1)]
    for line in grid:
        yield "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()


def _values(study: Study, cells: Sequence[CellState], axis: str) -> list[str]:
    """An axis's values in the study's order, those that some cell has."""
    used, known = dict.fromkeys(cell.axes.get(axis, "") for cell in cells), study.axes.get(axis, ())
    return [*(value for value in known if value in used), *(value for value in used if value not in known)]


def in_words(cell: CellState) -> str:
    """A cell's state in a few words: done; running train 400/1000 2:13; failed evaluate; waiting 3/7."""
    job = cell.job
    if cell.state == "done":
        return "done"
    if cell.state == "running":
        return f"running {job.kind}{shown_progress(job)}"
    if cell.state in BROKEN:
        name = "TRUNCATED" if cell.state == "truncated" else cell.state
        return f"{name} {job.kind}"
    return f"{cell.state} {cell.done}/{cell.total}"


def shown_progress(job: State) -> str:
    """How far a job is, such as " 400/1000, 2:13:00 left"; nothing where it says nothing."""
    if job.progress is None:
        return ""
    left = "" if job.progress.left is None else f", {clock(job.progress.left)} left"
    return f" {job.progress.done:g}/{job.progress.total:g}{left}"
