"""Compares one suite's scores before and after a training, item by item, or says why they may not be compared.

Where nothing was measured before, it sums up the scores after alone, and no change is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.report.results import Problem, Scores, TaskScores
from runtime.report.settings import Suite
from runtime.report.statistics import Estimate, Paired, mean_of_independent, paired

MUCH_CUT_SHORT = 0.1


@dataclass(frozen=True)
class TaskChange:
    """One task: the paired numbers, and every item's change in the order of its id, to correlate cells by."""

    paired: Paired
    items: tuple[str, ...]
    changes: tuple[float, ...]
    unfinished_before: int
    unfinished_after: int


@dataclass(frozen=True)
class Comparison:
    """One suite: its score is the mean over its tasks, whatever their sizes; `n` counts the items of all of them."""

    n: int
    before: float
    after: float
    forgetting: float
    backward: float
    delta: Estimate
    tasks: Mapping[str, TaskChange]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TaskLevel:
    """One task's mean outcome after training, with nothing to compare it with."""

    n: int
    after: float
    unfinished: int


@dataclass(frozen=True)
class Level:
    """One suite's score after training alone: the mean over its tasks, whatever their sizes."""

    n: int
    after: float
    tasks: Mapping[str, TaskLevel]
    notes: tuple[str, ...]


Outcome = Comparison | Level | Problem


def level(suite: Suite, after: Scores) -> Level | Problem:
    """The scores alone; those of another suite or of other tasks are an error."""
    reason = _mistaken("after", suite, after)
    if reason is not None:
        return Problem("error", reason)
    tasks = {name: _task_level(after.tasks[name]) for name in suite.tasks}
    cut_short = ("more than 10 % of the answers were cut short, and count as they were graded",)
    return Level(
        n=sum(task.n for task in tasks.values()),
        after=_mean([task.after for task in tasks.values()]),
        tasks=tasks,
        notes=cut_short if _unfinished(after) > MUCH_CUT_SHORT else (),
    )


def _task_level(task: TaskScores) -> TaskLevel:
    return TaskLevel(len(task.outcomes), _mean(list(task.outcomes.values())), task.unfinished)


def compare(suite: Suite, before: Scores, after: Scores, confidence: float) -> Comparison | Problem:
    """Pair the items of both sides; differing suites, versions, tasks, prompts or items are an error, never averaged away."""
    reason = _conflict(suite, before, after)
    if reason is not None:
        return Problem("error", reason)
    tasks = {name: _change(before.tasks[name], after.tasks[name], confidence) for name in suite.tasks}
    pairs = [task.paired for task in tasks.values()]
    return Comparison(
        n=sum(pair.n for pair in pairs),
        before=_mean([pair.before for pair in pairs]),
        after=_mean([pair.after for pair in pairs]),
        forgetting=_mean([pair.forgetting for pair in pairs]),
        backward=_mean([pair.backward for pair in pairs]),
        delta=mean_of_independent([pair.delta for pair in pairs]),
        tasks=tasks,
        notes=_notes(before, after),
    )


def _conflict(suite: Suite, before: Scores, after: Scores) -> str | None:
    mistaken = _mistaken("before", suite, before) or _mistaken("after", suite, after)
    if mistaken is not None:
        return mistaken
    if before.version != after.version:
        return f"suite version {before.version!r} before, {after.version!r} after"
    conflicts = (_task_conflict(name, before.tasks[name], after.tasks[name]) for name in suite.tasks)
    return next((conflict for conflict in conflicts if conflict is not None), None)


def _mistaken(side: str, suite: Suite, scores: Scores) -> str | None:
    if scores.suite != suite.source:
        return f"the scores {side} are of suite {scores.suite!r}, not {suite.source!r}"
    if set(scores.tasks) != set(suite.measured):
        return f"the tasks {side} are {_names(scores.tasks)}; the suite's are {_names(suite.measured)}"
    return None


def _task_conflict(name: str, before: TaskScores, after: TaskScores) -> str | None:
    if before.prompt_hash != after.prompt_hash:
        return f"task {name!r} was prompted differently: {before.prompt_hash[:12]} before, {after.prompt_hash[:12]} after"
    only_before, only_after = before.outcomes.keys() - after.outcomes.keys(), after.outcomes.keys() - before.outcomes.keys()
    if only_before or only_after:
        example = min(only_before or only_after)
        return (
            f"task {name!r} has {len(only_before)} items only before and {len(only_after)} only after, for example {example!r}"
        )
    return None


def _change(before: TaskScores, after: TaskScores, confidence: float) -> TaskChange:
    items = tuple(sorted(before.outcomes))
    early, late = [before.outcomes[item] for item in items], [after.outcomes[item] for item in items]
    changes = tuple(b - a for a, b in zip(early, late, strict=True))
    return TaskChange(paired(early, late, confidence), items, changes, before.unfinished, after.unfinished)


def _notes(before: Scores, after: Scores) -> tuple[str, ...]:
    """Differences that do not forbid a comparison, and that its reader must know."""
    sides = (("hardware", before.hardware, after.hardware), ("dtype", before.dtype, after.dtype))
    notes = [f"{what} {early or 'unknown'} before, {late or 'unknown'} after" for what, early, late in sides if early != late]
    shares = _unfinished(before), _unfinished(after)
    if max(shares) > MUCH_CUT_SHORT:
        notes.append("more than 10 % of the answers were cut short before or after, and count as they were graded")
    return tuple(notes)


def _unfinished(scores: Scores) -> float:
    """The share of answers that hit the length limit."""
    items = sum(len(task.outcomes) for task in scores.tasks.values())
    return sum(task.unfinished for task in scores.tasks.values()) / items


def _names(tasks: Mapping[str, TaskScores] | tuple[str, ...]) -> str:
    return ", ".join(sorted(tasks))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
