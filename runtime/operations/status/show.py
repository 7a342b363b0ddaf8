"""What is printed of a study's states: once, as JSON, or again and again for whoever watches."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runtime.operations.status.matrix import CellState, cell_states, cells_of, matrix, shown_progress
from runtime.operations.status.states import LIVE, STATES, State, Status, status_of
from runtime.operations.status.study import Gate, Study, read_names, read_study

INCOMPLETE = 3
MOST_DETAILS = 20  # jobs of one state that are told of singly
LEAST_SECONDS = 10.0  # between two questions to a site's Slurm
CLEAR = "\033[H\033[2J\033[3J"


def show(plan: Path, store: Path | None, as_json: bool, chosen: Path | None = None, watch: float | None = None) -> int:
    """Print how the study of `plan` is doing; return 0 when all that is asked for is done, else 3.

    `chosen` is a file with the ids of the jobs asked for; without, all. `watch` are the seconds between two looks.
    """
    names = read_names(chosen)
    if watch is not None:
        return _watch(plan, store, names, watch)
    study = read_study(plan, store)
    status = status_of(study)
    print(json.dumps(document(study, status, names), indent=1) if as_json else "\n".join(page(study, status, names)))
    _say_notes(status, as_json)
    return exit_code(_asked(status, names))


def exit_code(states: Sequence[State]) -> int:
    """0 when all is done, else 3."""
    return 0 if all(item.state == "done" for item in states) else INCOMPLETE


def _asked(status: Status, names: Collection[str] | None) -> list[State]:
    return [item for item in status.jobs if names is None or item.job in names]


def _say_notes(status: Status, as_json: bool) -> None:
    if not as_json and status.notes:
        print("\n".join(status.told_notes), file=sys.stderr)


def document(study: Study, status: Status, names: Collection[str] | None = None) -> dict[str, Any]:
    """All of it, for tools."""
    states = _asked(status, names)
    counts = Counter(item.state for item in states)
    cells = _cells(study, status, names)
    return {
        "lethe": 1,
        "study": study.name,
        "store": str(study.store),
        "gate": asdict(study.gate) if study.gate else None,
        "sources": [*status.sources],
        "notes": [*status.notes],
        "counts": {state: counts[state] for state in STATES},
        "cells": [{"cell": c.cell, "axes": dict(c.axes), "state": c.state, "job": c.job.job, "done": c.done, "total": c.total}
                  for c in cells],
        "jobs": [asdict(item) for item in states],
    }  # fmt: skip


def _cells(study: Study, status: Status, names: Collection[str] | None) -> list[CellState]:
    """The cells that some job asked for is of."""
    found = cell_states(study, {item.job: item for item in status.jobs})
    if names is None:
        return found
    members = cells_of(study)
    wanted = {cell for job in names for cell in members.get(job, ())}
    return [cell for cell in found if cell.cell in wanted]


def page(study: Study, status: Status, names: Collection[str] | None = None) -> list[str]:
    """All of it, for people: the matrix, the table of counts, and what is to be said of single jobs."""
    states = _asked(status, names)
    return [*matrix(study, _cells(study, status, names)), *table(study.name, states), *_waits(study.gate), *details(states)]


def _waits(gate: Gate | None) -> list[str]:
    """What to say of the study that this one waits for."""
    return [] if gate is None or gate.done else [f"nothing starts before {gate.study} has succeeded; see lethe status --canary"]


def table(name: str, states: Sequence[State]) -> list[str]:
    """The lines of a table: one row a kind, one column a state that occurs, and a last row of sums."""
    used = [state for state in STATES if any(item.state == state for item in states)]
    kinds = list(dict.fromkeys(item.kind for item in states))
    cells = Counter((item.kind, item.state) for item in states)
    rows = [[kind, *(str(cells[kind, state] or "") for state in used)] for kind in kinds]
    sums = ["all", *(str(sum(cells[kind, state] for kind in kinds)) for state in used)]
    grid = [[name, *(state.upper() if state == "truncated" else state for state in used)], *rows, sums]
    widths = [max(len(row[column]) for row in grid) for column in range(len(used) + 1)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in grid]


def details(states: Sequence[State]) -> list[str]:
    """What to say of single jobs: how far the running ones are, why others failed, cannot start or are not known."""
    lines = _some(states, "running", lambda item: f"running: {item.job}{shown_progress(item)}")
    lines += _some(states, "truncated", lambda item: f"TRUNCATED: {item.job}: {item.reason}")
    lines += _some(states, "failed", lambda item: f"failed: {item.job}: {item.reason}\n    log: {item.log}")
    lines += _some(states, "unknown", lambda item: f"unknown: {item.job}{shown_progress(item)}: {item.reason}")
    lines += _some(states, "held", lambda item: f"held: {item.job}: {item.reason}; scontrol release {item.id}")
    lines += _some(states, "stale", lambda item: f"stale: {item.job}: {item.reason}")
    stuck = Counter(item.reason for item in states if item.state == "upstream")
    return lines + [f"upstream failed: {count} job{'s' * (count > 1)}: {reason}" for reason, count in stuck.items()]


def _some(states: Sequence[State], state: str, line: Callable[[State], str]) -> list[str]:
    """A line for each job in a state; where these are many, for the first."""
    found = [item for item in states if item.state == state]
    more = len(found) - MOST_DETAILS
    tail = [f"{state}: and {more} more; lethe triage groups what failed, --json lists all"] if more > 0 else []
    return [*map(line, found[:MOST_DETAILS]), *tail]


# ---- watching -------------------------------------------------------------------------------------------------------


def _watch(plan: Path, store: Path | None, names: Collection[str] | None, seconds: float) -> int:
    """Show the study until nothing of it is under way. On a terminal the page is drawn again, in a log changes are lines."""
    live, before = sys.stdout.isatty(), ""
    while True:
        study = read_study(plan, store)
        status = status_of(study)
        states = _asked(status, names)
        if live:
            print(CLEAR + "\n".join([*page(study, status, names), *status.told_notes]), flush=True)
        else:
            before = _tell_change(study, states, before)
        if not any(item.state in LIVE for item in states) and not status.notes:
            return exit_code(states)
        time.sleep(max(seconds, LEAST_SECONDS) if study.slurm else seconds)


def _tell_change(study: Study, states: Sequence[State], before: str) -> str:
    """A line with the counts, where they are not those that were told before."""
    counts = Counter(item.state for item in states)
    line = f"{study.name}: " + ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    if line != before:
        print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
    return line
