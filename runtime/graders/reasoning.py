"""reasoning-gym's tasks by their own scorers: a score of at least the row's `threshold` is correct.

A scorer needs the whole entry of its question, with sets and tuples that no JSON keeps; so a row says where its entry stands
(`task`, its `config`, `seed`, `size`, `index`), and the helper process makes it again. Several scorers evaluate what the model
wrote: one more reason for a process of its own.
"""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runtime.data.rows import Row
from runtime.errors import JobError
from runtime.graders.extraction import find_boxed, find_named, find_tagged
from runtime.graders.workers import ask

SECONDS = 10
NAME = "reasoning_gym"


def grade_many(rows: Sequence[Row], outputs: Sequence[str]) -> list[bool]:
    """Whether each output's answer scores at least its row's threshold. Raises JobError for rows that this version cannot make
    again."""
    return [_passes(row, extract_answer(output)) for row, output in zip(rows, outputs, strict=True)]


def extract_answer(output: str) -> str:
    r"""What the last `<answer>` tag holds, else the last \boxed{…}, else what stands behind "The answer is", else the whole
    output."""
    tagged = find_tagged(output)
    if tagged is not None:
        return tagged
    boxed = find_boxed(output)
    return find_named(output) if boxed is None else boxed.strip()


def score(place: Mapping[str, Any], answer: str) -> float | None:
    """The scorer's value of an answer to the entry at `place`; None where the scorer stumbles, or takes too long."""
    value = ask(NAME, {"place": place, "answer": answer}, SECONDS)
    return None if value is None else float(value)


def _passes(row: Row, answer: str) -> bool:
    if not any(character.isalnum() for character in answer) and answer != str(row["answer"]).strip():
        return False
    place = row[NAME]
    value = score({**place, "question": row.get("question", row["prompt"])}, answer)
    return value is not None and value >= place["threshold"]


def open_judge() -> Callable[[Any], float]:
    """In the helper: the function that scores `{"place", "answer"}`. Raises JobError where reasoning-gym is not installed."""
    entry_of = open_tasks()

    def judge(request: Any) -> float:
        place = request["place"]
        dataset, entry = entry_of(place["task"], place["config"], place["seed"], place["size"], place["index"])
        if entry["question"].strip() != place["question"].strip():
            raise JobError(
                f"reasoning_gym: {place['task']} asks something else at index {place['index']} than when the rows were made; "
                "it is not repeatable, or this is another version of reasoning-gym: prepare the rows anew, or leave it out"
            )
        return float(dataset.score_answer(request["answer"], entry))

    return judge


def open_tasks() -> Callable[[str, Mapping[str, Any], int, int, int], tuple[Any, dict[str, Any]]]:
    """The function that gives a task's data set and one entry of it. Raises JobError where reasoning-gym is not installed."""
    try:
        from reasoning_gym import create_dataset
    except ImportError as error:
        raise JobError(
            f"reasoning_gym cannot be imported here ({error}); install it from the lock of this environment"
        ) from error

    @functools.lru_cache(maxsize=64)
    def made(task: str, config: str, seed: int, size: int) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return create_dataset(task, seed=seed, size=size, **json.loads(config))

    def entry_of(task: str, config: Mapping[str, Any], seed: int, size: int, index: int) -> tuple[Any, dict[str, Any]]:
        dataset = made(task, json.dumps(config, sort_keys=True), seed, size)
        return dataset, dataset[index]

    return entry_of
