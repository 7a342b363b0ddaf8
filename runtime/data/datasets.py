"""What stages train on, on disk: `data.jsonl`, or for VeRL `train.parquet`, in a folder of type `dataset.…`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime.data.rows import Row, read_rows, write_rows

JSONL = "data.jsonl"
PARQUET = "train.parquet"


def write_dataset(folder: Path, rows: Sequence[Row], type_: str, format_: str, domain: str | None) -> None:
    """Write `rows` of a dataset of that type as "jsonl" or "parquet"; `domain` is None where each row names its own."""
    if format_ == "jsonl":
        write_rows(folder / JSONL, rows)
        return
    from runtime.data.parquet import write_verl  # pyarrow takes a second that jsonl need not pay

    write_verl(folder / PARQUET, rows, type_, domain)


def read_dataset(folder: Path) -> list[dict[str, Any]]:
    """The rows of a dataset in either format. Raises JobError where the folder holds neither."""
    if not (folder / PARQUET).is_file():
        return read_rows(folder / JSONL)
    from runtime.data.parquet import read_verl

    return read_verl(folder / PARQUET)
