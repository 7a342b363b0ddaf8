"""A folder laid out as the hub lays out a data set: Parquet files, and a README whose header names configurations and
splits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import yaml

DATA = Path(__file__).with_name("data")
Records = Sequence[Mapping[str, Any]]


def records(name: str) -> list[dict[str, Any]]:
    """The rows of a file of `data/`."""
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def lay_out(folder: Path, configs: Mapping[str, Mapping[str, Records]]) -> Path:
    """Write `configs[name][split]` below the folder."""
    header = []
    for config, splits in configs.items():
        files = []
        for split, rows in splits.items():
            path = folder / config / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
            files.append({"split": split, "path": f"{config}/{split}-*"})
        header.append({"config_name": config, "data_files": files})
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': header})}---\n", encoding="utf-8")
    return folder
