"""Reads how far a checkpoint has moved from its start: one done evaluate job of a divergence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.report.results import Problem, Source, Unusable, need, read_json, read_lines, usable
from runtime.report.settings import Cell, Point, Suite

DIRECTIONS = ("forward", "reverse")


@dataclass(frozen=True)
class Divergence:
    """By direction, in nats: the mean over answers and over tokens, on `n` prompts; of several domains their mean.

    `forward` is KL(start || model), `reverse` is KL(model || start). `unfinished` is the share of answers that were cut off.
    """

    per_answer: Mapping[str, float]
    per_token: Mapping[str, float]
    unfinished: Mapping[str, float]
    n: int


@dataclass(frozen=True)
class Moved:
    """A cell, at its end or at one of its points: how far it has moved from its start, or why that is not known."""

    cell: Cell
    point: Point | None
    suite: Suite
    job: str
    outcome: Divergence | Problem

    @property
    def where(self) -> str:
        """The cell's id, with the point where it is not at its end."""
        return f"{self.cell.id} at {self.point.label}" if self.point else self.cell.id


def load(source: Source) -> Divergence | Problem:
    """The divergence of one evaluate job, or why it cannot be used."""
    return usable(source, lambda: _read(source))


def _read(source: Source) -> Divergence:
    scores = read_json((source.path / "scores.json").read_text(encoding="utf-8"), "scores.json")
    tasks = need(scores, "tasks", dict, "scores.json")
    if not tasks:
        raise Unusable("scores.json has no task")
    _check(source, tasks)
    sides = {
        side: [need(task, side, dict, f"scores.json, task {name!r}") for name, task in tasks.items()] for side in DIRECTIONS
    }

    def mean(key: str) -> dict[str, float]:
        return {side: math.fsum(part[key] for part in parts) / len(parts) for side, parts in sides.items()}

    unfinished = {
        side: 1 - sum(part["finished"] for part in parts) / sum(part["answers"] for part in parts)
        for side, parts in sides.items()
    }
    return Divergence(mean("per_answer"), mean("per_token"), unfinished, sum(task["n"] for task in tasks.values()))


def _check(source: Source, tasks: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """The items and the sums over them must tell the same story. Raises Unusable."""
    sums: dict[tuple[str, str], list[float]] = {}
    for where, item in read_lines(source.path / "items.jsonl"):
        value = need(item, "kl", (int, float), where)
        if not math.isfinite(value):
            raise Unusable(f"{where}: 'kl' is {value}, no finite number")
        sums.setdefault((need(item, "task", str, where), need(item, "direction", str, where)), []).append(value)
    for name, task in tasks.items():
        for side in DIRECTIONS:
            told, own = need(task, side, dict, f"scores.json, task {name!r}"), sums.pop((name, side), [])
            total = need(told, "answers", int, "scores.json") * need(told, "per_answer", (int, float), "scores.json")
            if len(own) != told["answers"] or abs(total - math.fsum(own)) > 1e-6 * max(1.0, abs(total)):
                counted = f"{told['answers']} answers and {total:.6g} nats, its items {len(own)} and {math.fsum(own):.6g}"
                raise Unusable(f"scores.json, task {name!r}, {side}: tells of {counted}")
    if sums:
        raise Unusable(f"items.jsonl has task and direction {next(iter(sums))}, which scores.json lacks")
