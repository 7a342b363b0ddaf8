"""What trainings and samplings tell of themselves: alarms, and how often the sampled answers were right or cut off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.report.summary import Report
from runtime.report.wording import percent, printable, wrapped
from runtime.train.alarms import Alarm


@dataclass(frozen=True)
class Raised:
    """An alarm of one training, and the cells that come from it."""

    job: str
    cells: tuple[str, ...]
    alarm: Alarm


@dataclass(frozen=True)
class Sampling:
    """One sampling of training data: the shares of samples that were right, of prompts with such a one, of samples cut off."""

    job: str
    cells: tuple[str, ...]
    pass_rate: float
    any_pass_rate: float
    clip_rate: float


def alarms(report: Report) -> list[Raised]:
    """Every alarm once, in the order of the cells."""
    trainings = _entries(report, "train")
    return [Raised(job, cells, Alarm(**alarm)) for job, cells, entry in trainings for alarm in entry.get("alarms", ())]


def watched(report: Report) -> int:
    """How many trainings sampled, and so could raise an alarm."""
    return sum("alarms" in entry for _, _, entry in _entries(report, "train"))


def samplings(report: Report) -> list[Sampling]:
    """Every sampling that tells its rates, in the order of the cells."""
    rates = ("pass_rate", "any_pass_rate", "clip_rate")
    return [
        Sampling(job, cells, **{rate: entry[rate] for rate in rates})
        for job, cells, entry in _entries(report, "generate")
        if all(rate in entry for rate in rates)
    ]


def _entries(report: Report, kind: str) -> Iterator[tuple[str, tuple[str, ...], Mapping[str, Any]]]:
    """Each job of that kind behind any cell, with all cells that come from it."""
    cells: dict[str, list[str]] = {}
    found: dict[str, Mapping[str, Any]] = {}
    for cell, lineage in report.lineage.items():
        for entry in lineage:
            if entry["kind"] == kind:
                cells.setdefault(entry["job"], []).append(cell)
                found.setdefault(entry["job"], entry)
    yield from ((job, tuple(cells[job]), entry) for job, entry in found.items())


def lines(report: Report) -> tuple[list[str], list[str]]:
    """What trainings and samplings tell, as two blocks of text; each empty where there are none."""
    return _alarm_lines(report), _sampling_lines(report)


def _alarm_lines(report: Report) -> list[str]:
    raised, many = alarms(report), watched(report)
    if not many:
        return []
    if not raised:
        return [f"alarms: none in {many} trainings that sample (rewards without spread, jumps, answers at the cap)"]
    told = [f"{names(one.cells)}: {one.alarm.said} [{printable(one.job)}]" for one in raised]
    return [f"alarms, of {many} trainings that sample:", *(line for one in told for line in wrapped(one))]


def _sampling_lines(report: Report) -> list[str]:
    found = samplings(report)
    width = max((len(printable(one.job)) for one in found), default=0)
    rates = [(one.pass_rate, one.any_pass_rate, one.clip_rate) for one in found]
    rows = [
        f"  {printable(one.job):{width}}" + "".join(f"  {percent(rate):>5}" for rate in own)
        for one, own in zip(found, rates, strict=True)
    ]
    return ["sampled for training, in %: right, questions with a right answer, cut off", *rows] if found else []


def names(cells: Sequence[str], most: int = 3) -> str:
    """The cells' names, of many the first ones."""
    more = f" and {len(cells) - most} more" if len(cells) > most else ""
    return ", ".join(map(printable, cells[:most])) + more


def as_json(report: Report) -> dict[str, Any]:
    """Both, for other programs."""
    raised = [{"job": one.job, "cells": list(one.cells), **vars(one.alarm), "said": one.alarm.said} for one in alarms(report)]
    return {
        "alarms": raised,
        "samplings": [{**vars(one), "cells": list(one.cells)} for one in samplings(report)],
    }
