"""Rows on disk: JSON Lines, one mapping a line. `dataset.rows` is a folder of `train.jsonl` and `eval.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runtime.errors import JobError
from runtime.job import write_text

Row = Mapping[str, Any]
SPLITS = ("train", "eval")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of one `.jsonl` file, in its order. Raises JobError that names the file and the line at fault."""
    if not path.is_file():
        raise JobError(f"{path}: no such file; the job that makes this folder writes it")
    lines = path.read_text(encoding="utf-8").split("\n")
    return [_parse(line, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()]


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write `rows` whole or not at all, keys in the rows' own order, so equal rows are equal bytes."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_split(folder: Path, split: str) -> list[dict[str, Any]]:
    """The `train` or `eval` rows of a `dataset.rows` artifact; at least one, or JobError."""
    rows = read_rows(folder / f"{split}.jsonl")
    if not rows:
        raise JobError(f"{folder / split}.jsonl: holds no row; ask the prepare job for more than 0")
    return rows


def _parse(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise JobError(f"{where}: not JSON ({error.msg}); delete the folder and make it anew") from error
    if not isinstance(value, dict):
        raise JobError(f"{where}: a row must be a JSON object, this is a {type(value).__name__}")
    return value
