"""Which cells of a finished report are the best or the worst by a metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compiler.cells.origin import Asked, Choice

METRICS: Mapping[str, tuple[tuple[str, str], str]] = {
    "gain": (("trained_domain", "delta"), "change on the trained domain"),
    "forgetting": (("other_suites", "forgetting"), "F on the other suites: items right before and wrong after"),
    "transfer": (("other_suites", "backward_transfer"), "BT on the other suites: items wrong before and right after"),
    "change": (("other_suites", "delta"), "change on the other suites"),
    "score": (("scores", "trained_domain"), "score on the trained domain"),
    "other_score": (("scores", "other_suites"), "score on the other suites"),
}


@dataclass(frozen=True)
class Candidate:
    """One cell of a report with its value of a metric, a share or a change of one."""

    axes: Mapping[str, str]
    value: float


def cells(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Every cell of a report's JSON, in its order."""
    return [cell for section in report["sections"] for cell in section["cells"]]


def metrics(report: Mapping[str, Any]) -> list[str]:
    """What a report's cells can be ranked by: the means, then the score on each suite, and on each task of one with several."""
    suites = {name: result for cell in cells(report) for name, result in cell["results"].items()}
    tasks = [f"{suite}:{task}" for suite, result in suites.items() if len(result["tasks"]) > 1 for task in result["tasks"]]
    return [*(name for name in METRICS if any(_value(cell, name) is not None for cell in cells(report))), *suites, *tasks]


def candidates(report: Mapping[str, Any], metric: str) -> list[Candidate]:
    """The cells that have a value of `metric`, in the report's order."""
    found = ((cell, _value(cell, metric)) for cell in cells(report))
    return [Candidate(cell["axes"], value) for cell, value in found if value is not None]


def _value(cell: Mapping[str, Any], metric: str) -> float | None:
    if metric in METRICS:
        (part, key), _ = METRICS[metric]
        return None if cell[part] is None else cell[part][key]
    suite, _, task = metric.partition(":")
    result = cell["results"].get(suite)
    if task and result:
        result = result["tasks"].get(task)
    return None if result is None else float(result["after"])


def best(found: Sequence[Candidate], asked: Asked, axes: Sequence[str]) -> list[Choice]:
    """The first of the ranked cells, each seen on `axes` alone and counted once; with `per`, of each value in turn.

    Equal values keep the report's order. What two values of the `per` axis both chose stands once. There may be fewer cells
    than were asked for.
    """
    chosen: dict[tuple[str, ...], Choice] = {}
    for own in _groups(found, asked).values():
        for choice in list(_ranked(own, asked, axes))[: asked.count]:
            chosen.setdefault(tuple(choice.axes.values()), choice)
    return list(chosen.values())


def short_of(found: Sequence[Candidate], asked: Asked, axes: Sequence[str]) -> str | None:
    """Where there are fewer different cells than were asked for, in words; None where there are enough."""
    for group, own in _groups(found, asked).items():
        there = len(list(_ranked(own, asked, axes)))
        if there < asked.count:
            return f"{there} of {asked.per} {group}" if asked.per else f"{there}"
    return None


def _groups(found: Sequence[Candidate], asked: Asked) -> dict[str, list[Candidate]]:
    """The cells of each value of the `per` axis, or all of them."""
    groups: dict[str, list[Candidate]] = {}
    for candidate in found:
        groups.setdefault(candidate.axes[asked.per] if asked.per else "", []).append(candidate)
    return groups


def _ranked(found: Sequence[Candidate], asked: Asked, axes: Sequence[str]) -> Iterator[Choice]:
    """All of them by rank, those that are the same on `axes` only once."""
    seen: set[tuple[str, ...]] = set()
    for candidate in sorted(found, key=lambda c: c.value, reverse=asked.end == "top"):
        values = tuple(candidate.axes[axis] for axis in axes)
        if values not in seen:
            seen.add(values)
            yield Choice(dict(zip(axes, values, strict=True)), 100 * candidate.value)
