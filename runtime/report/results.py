"""Reads the scores that a report stands on: one done evaluate job's folder at a time.

What cannot be used is told apart and never guessed at: `missing` when the job is not done or its folder holds the result of
another fingerprint, `error` when it is done but its files contradict themselves or each other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from runtime.store import markers


@dataclass(frozen=True)
class Source:
    """Where one evaluate job's artifact lies, and the fingerprint that makes it this plan's."""

    job: str
    path: Path
    fingerprint: str


@dataclass(frozen=True)
class Problem:
    """Why there is no number: the result is not there (yet), or it is there and cannot be trusted."""

    status: Literal["missing", "error"]
    why: str


@dataclass(frozen=True)
class TaskScores:
    """Every item's outcome in [0, 1] by item id, and how many answers were cut short."""

    prompt_hash: str
    outcomes: Mapping[str, float]
    unfinished: int


@dataclass(frozen=True)
class Scores:
    """One suite on one checkpoint. `lineage` tells of the samplings and trainings behind it (runtime/lifecycle/lineage.py)."""

    suite: str
    version: str
    model_fingerprint: str
    dtype: str
    hardware: str
    tasks: Mapping[str, TaskScores]
    prompt_form: str = ""
    lineage: tuple[Mapping[str, Any], ...] = ()


class Unusable(Exception):
    """A scores artifact contradicts itself, or what it comes from; becomes a Problem."""


def load(source: Source) -> Scores | Problem:
    """The scores of one evaluate job, or why they cannot be used."""
    absent = not_done(source)
    if absent is not None:
        return Problem("missing", absent)
    try:
        return _of_one_form(_read(source.path), source.path)
    except (Unusable, OSError) as problem:
        return Problem("error", f"{source.job}: {problem}")


def not_done(source: Source) -> str | None:
    """None when the artifact is done and is this plan's; else the reason, starting with the job's id."""
    marker = markers.read(source.path)
    if marker is None:
        return f"{source.job} is not done"
    if marker.fingerprint != source.fingerprint:
        return f"{source.job} is stale: made as {marker.fingerprint[:12]}, the plan's is {source.fingerprint[:12]}"
    return None


def _of_one_form(scores: Scores, folder: Path) -> Scores:
    """The scores with their lineage. Raises Unusable where the model is asked in another form than it was trained in."""
    marker = markers.read(folder)
    lineage = marker.lineage if marker else ()
    for entry in lineage:
        trained = entry.get("prompt_form")
        handed_on = entry["kind"] == "train" and entry["side"] == "model"
        if handed_on and trained and scores.prompt_form and trained != scores.prompt_form:
            raise Unusable(f"asked with prompts of form {scores.prompt_form}, while {entry['job']} trained with form {trained}")
    return replace(scores, lineage=lineage)


def _read(folder: Path) -> Scores:
    scores = read_json((folder / "scores.json").read_text(encoding="utf-8"), "scores.json")
    tasks = need(scores, "tasks", dict, "scores.json")
    items = _items(folder / "items.jsonl")
    if unknown := sorted(set(items) - set(tasks)):
        raise Unusable(f"items.jsonl has task {unknown[0]!r}, which scores.json lacks")
    return Scores(
        suite=str(need(scores, "suite", str, "scores.json")),
        version=str(scores.get("version", "")),
        model_fingerprint=str(scores.get("model_fingerprint", "")),
        dtype=str(scores.get("dtype", "")),
        hardware=str(scores.get("hardware", "")),
        prompt_form=str(scores.get("prompt_form", "")),
        tasks={name: _task(name, facts, items.get(name, [])) for name, facts in tasks.items()},
    )


def _task(name: str, facts: Any, items: list[Mapping[str, Any]]) -> TaskScores:
    """Check the items against the totals that the evaluate job recorded: both must tell the same story."""
    where = f"scores.json, task {name!r}"
    if not items:
        raise Unusable(f"items.jsonl has no item of task {name!r}")
    outcomes: dict[str, float] = {}
    for item in items:
        if item["id"] in outcomes:
            raise Unusable(f"items.jsonl has item {item['id']!r} of task {name!r} twice")
        outcomes[item["id"]] = item["correct"]
    n, correct = need(facts, "n", int, where), need(facts, "correct", (int, float), where)
    total = math.fsum(outcomes.values())
    if n != len(outcomes) or abs(correct - total) > 1e-6 * n:
        raise Unusable(f"{where} counts {correct:g} of {n}, its items {total:g} of {len(outcomes)}")
    unfinished = sum(item.get("finished") is False for item in items)
    return TaskScores(str(need(facts, "prompt_hash", str, where)), outcomes, unfinished)


def _items(path: Path) -> dict[str, list[Mapping[str, Any]]]:
    by_task: dict[str, list[Mapping[str, Any]]] = {}
    for where, item in read_lines(path):
        outcome = need(item, "correct", (bool, int, float), where)
        if not 0 <= outcome <= 1:
            raise Unusable(f"{where}: 'correct' is {outcome}; an outcome lies between 0 and 1")
        row = {"id": str(need(item, "id", (str, int), where)), "correct": float(outcome), "finished": item.get("finished")}
        by_task.setdefault(need(item, "task", str, where), []).append(row)
    return by_task


def read_lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            where = f"items.jsonl, line {number}"
            yield where, read_json(line, where)


def read_json(text: str, where: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as problem:
        raise Unusable(f"{where} is no JSON: {problem}") from problem
    if not isinstance(value, dict):
        raise Unusable(f"{where} is no JSON object")
    return value


def need(item: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """A value of that kind. Raises Unusable."""
    if not isinstance(item, dict) or not isinstance(item.get(key), kind):
        raise Unusable(f"{where} lacks a usable {key!r}")
    return item[key]
