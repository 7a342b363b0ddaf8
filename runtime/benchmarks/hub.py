"""Rows of published benchmarks, by the columns that are read of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runtime.domains.tables import load_table
from runtime.errors import JobError


@dataclass(frozen=True)
class Published:
    """A data set of the hub, at a revision."""

    hub: str
    revision: str


def read_published(of: Published, config: str | None, split: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of one split of one configuration (None: the only one), with these columns alone.

    Raises JobError where it cannot be had, and where a configuration, a split or a column is missing.
    """
    table = load_table(of.hub, config, of.revision, split)
    table.require(columns)
    return [{name: row[name] for name in columns} for part in table.parts for row in part]


def text_of(row: dict[str, Any], column: str, where: str) -> str:
    """A column that must hold a text. Raises JobError."""
    value = row[column]
    if not isinstance(value, str) or not value.strip():
        raise JobError(f"{where}: a row's {column} is {value!r}, and should be a text; look at the data set")
    return value


def texts_of(row: dict[str, Any], column: str, where: str) -> list[str]:
    """A column that must hold a list of texts. Raises JobError."""
    value = row[column]
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one.strip() for one in value):
        raise JobError(f"{where}: a row's {column} is {value!r}, and should be a list of texts; look at the data set")
    return list(value)
