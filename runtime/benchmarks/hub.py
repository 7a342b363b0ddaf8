"""Rows of published data sets: from a folder on this machine that has them in the hub's layout, or from the hub."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import JobError

LOCAL = "LETHE_DATASETS"  # a folder with data sets as OWNER/NAME, in the hub's layout


@dataclass(frozen=True)
class Published:
    """A data set of the hub, at a revision."""

    hub: str
    revision: str


def local_folder() -> Path | None:
    """Where data sets lie on this machine, if anybody said so."""
    named = os.environ.get(LOCAL)
    return Path(named) if named else None


def read_published(of: Published, config: str | None, split: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of one split of one configuration (None: the only one), with these columns alone.

    A folder `$LETHE_DATASETS/OWNER/NAME` is read where there is one; else the hub, or what this machine has of it in its cache.
    Raises JobError where it cannot be had, and where a configuration, a split or a column is missing.
    """
    where = f"{of.hub}{'' if config is None else f' {config}'}, split {split}"
    loaded = _load(of, config, split, where)
    missing = [name for name in columns if name not in loaded.column_names]
    if missing:
        raise JobError(
            f"{where}: has no column {', '.join(missing)}; it has {', '.join(loaded.column_names)}. Is this the data set?"
        )
    return [{name: row[name] for name in columns} for row in loaded]


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


def _load(of: Published, config: str | None, split: str, where: str) -> Any:
    import datasets  # it takes a second that rows made by rule need not pay
    import httpx
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import HfHubHTTPError

    datasets.disable_progress_bars()
    local = local_folder()
    folder = local / of.hub if local is not None else None
    try:
        if folder is not None and folder.is_dir():
            return datasets.load_dataset(str(folder), name=config, split=split)
        return datasets.load_dataset(of.hub, name=config, split=split, revision=of.revision)
    except (ConnectionError, httpx.TransportError) as error:
        raise JobError(_offline(of, where, error)) from error
    except DatasetNotFoundError as error:
        raise JobError(
            f"{where}: {error}; check its name and revision, and for a gated one set HF_TOKEN where jobs run"
        ) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise JobError(f"{where}: cannot be read: {error}") from error


def _offline(of: Published, where: str, error: Exception) -> str:
    return (
        f"{where}: the hub cannot be reached ({error}). Run this job on a machine with a network (its cache, HF_HOME, may be "
        f"shared), or put the data set's files into a folder {of.hub} below a folder that {LOCAL} names"
    )
