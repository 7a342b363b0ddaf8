"""Tasks of reasoning-gym: questions made on the spot, without any download, graded by each task's own scorer.

Both splits are cut from one stream of each task, the evaluation first, and a question that came before is passed over; so no
question is in both, whatever the streams of neighbouring seeds share. Rows say where their entry stands, and the grader makes
it again in another process; so a task that is not the same there is refused before anything is trained on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from runtime.domains.made import Made, Rows
from runtime.errors import JobError
from runtime.graders.reasoning import NAME, grade_many, open_tasks
from runtime.graders.selftest import check_grader

EntryOf = Callable[[str, Mapping[str, Any], int, int, int], tuple[Any, dict[str, Any]]]
NOT_REPEATABLE = ("codeio", "list_functions")  # two data sets of one seed can differ (0.1.23)
AT_LEAST, SPARE = 200, 4  # a stream is longer than the rows that are asked of it, since questions repeat
CHEATED = 2  # rows of each task that are asked with the cheats of the self-test


def make_rows(config: Mapping[str, Any]) -> Made:
    """As many rows of each task as of the others, in turn. Raises JobError for a task that does not exist, gives too few
    different questions, is not repeatable, or whose scorer pays for nothing or not for the task's own answer."""
    entry_of = open_tasks()
    splits: tuple[list[Rows], list[Rows]] = ([], [])
    for place, task in enumerate(config["tasks"]):
        train, evaluation = (_share(config[split], len(config["tasks"]), place) for split in ("train", "eval"))
        rows = _task_rows(task, config, train, evaluation, entry_of)
        splits[0].append(rows[evaluation:])
        splits[1].append(rows[:evaluation])
    return Made(_in_turn(splits[0]), _in_turn(splits[1]))


def _task_rows(task: str, config: Mapping[str, Any], train: int, evaluation: int, entry_of: EntryOf) -> Rows:
    """The evaluation rows and then the training rows of one task, all checked by its scorer."""
    if task in NOT_REPEATABLE:
        raise JobError(
            f"reasoning_gym: {task} gives other questions for the same seed, so no score on it could be trusted; leave it out"
        )
    size = AT_LEAST + SPARE * (train + evaluation)
    stream = _distinct(task, config, size, entry_of)
    rows = [row for _, row in zip(range(train + evaluation), stream, strict=False)]
    if len(rows) < train + evaluation:
        raise JobError(
            f"reasoning_gym: {task} has {len(rows)} different questions among {size}, not {train + evaluation}; ask for fewer"
        )
    named = [
        {"id": f"{task}-{'eval' if place < evaluation else 'train'}-{row[NAME]['index']:06d}", **row}
        for place, row in enumerate(rows)
    ]
    _check(task, named)
    return named


def _distinct(task: str, config: Mapping[str, Any], size: int, entry_of: EntryOf) -> Iterator[dict[str, Any]]:
    """The rows of a task's stream whose question has not been there before."""
    seen = set()
    for index in range(size):
        row = _row(task, config, size, index, entry_of)
        if row["question"] not in seen:
            seen.add(row["question"])
            yield row


def _row(task: str, config: Mapping[str, Any], size: int, index: int, entry_of: EntryOf) -> dict[str, Any]:
    settings, seed = config["tasks"][task], config["seed"]
    try:
        _, entry = entry_of(task, settings, seed, size, index)
    except (ValueError, TypeError, AssertionError, LookupError) as error:
        raise JobError(f"reasoning_gym: task {task} with {dict(settings)} gives no question: {error}") from error
    answer, question = entry["answer"], entry["question"].strip()
    if not isinstance(answer, str) or not answer.strip():
        raise JobError(
            f"reasoning_gym: {task} tells no answer of its own, so nothing can be learned from it by example; leave it out"
        )
    return {
        "prompt": f"{config['prompt']['before']}{question}{config['prompt']['after']}",
        "question": question,
        "answer": answer,
        "solution": f"{config['solution']['before']}{answer}{config['solution']['after']}",
        NAME: {
            "task": task, "config": dict(settings), "seed": seed, "size": size, "index": index,
            "threshold": config["threshold"],
        },
    }  # fmt: skip


def _check(task: str, rows: Rows) -> None:
    """Raise JobError unless each row's own solution reaches the threshold in another process, and no cheat does."""
    wrong = [
        row["id"] for row, right in zip(rows, grade_many(rows, [row["solution"] for row in rows]), strict=True) if not right
    ]
    if wrong:
        raise JobError(
            f"reasoning_gym: the scorer of {task} takes its own answer for wrong in {len(wrong)} of {len(rows)} rows, as "
            f"{wrong[0]}; lower the threshold, or leave it out"
        )
    check_grader(NAME, rows, CHEATED)


def _share(total: int, parts: int, place: int) -> int:
    """How many of `total` the part at `place` gets: all the same, the first ones one more."""
    return total // parts + (place < total % parts)


def _in_turn(parts: Sequence[Rows]) -> Rows:
    return [row for together in zip_longest(*parts) for row in together if row is not None]
