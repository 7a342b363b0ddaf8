"""Datasets in the columns that VeRL reads: `messages` for supervised training; prompt and verifier data for online RL.

Rows of a mixture carry their own `domain` and `grader`, and keep them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from runtime.data.rows import Row
from runtime.errors import JobError

OWN = ("domain", "grader")


def write_verl(path: Path, rows: Sequence[Row], type_: str, domain: str | None) -> None:
    """Write `rows` of a `dataset.sft` or `dataset.rl` as VeRL's parquet, whole or not at all.

    `domain` is theirs, or None where each row names its own.
    """
    if type_ == "dataset.sft":
        columns = [supervised_columns(row) for row in rows]
    elif type_ == "dataset.rl":
        columns = [rl_columns(row, domain, index) for index, row in enumerate(rows)]
    else:
        raise JobError(f"format: VeRL's trainers read no {type_}; use format jsonl for it")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(columns), part)
    part.replace(path)


def read_verl(path: Path) -> list[dict[str, Any]]:
    """The rows that `write_verl` was given."""
    table = pyarrow.parquet.read_table(path)
    if "messages" in table.column_names:
        return [_supervised_row(columns) for columns in table.to_pylist()]
    return [json.loads(info["row"]) for info in table.column("extra_info").to_pylist()]


def supervised_columns(row: Row) -> dict[str, Any]:
    """One row of `{"id", "prompt", "completion"}` as a conversation of one turn."""
    own = {name: row[name] for name in OWN if name in row}
    return {"id": row["id"], "messages": [_message("user", row["prompt"]), _message("assistant", row["completion"])], **own}


def rl_columns(row: Row, domain: str | None, index: int) -> dict[str, Any]:
    """One row as VeRL's RL dataset wants it. The whole row stands in `extra_info.row` as JSON: all that a grader needs."""
    source = row["domain"] if domain is None else domain
    return {
        "data_source": source,
        "prompt": [_message("user", row["prompt"])],
        "ability": source,
        "reward_model": {"style": "rule", "ground_truth": str(row["answer"])},
        "extra_info": {"split": "train", "index": index, "id": row["id"], "row": json.dumps(row, ensure_ascii=False)},
    }


def _supervised_row(columns: Row) -> dict[str, Any]:
    asked, answered = columns["messages"]
    own = {name: columns[name] for name in OWN if name in columns}
    return {"id": columns["id"], "prompt": asked["content"], "completion": answered["content"], **own}


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
