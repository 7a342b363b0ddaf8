"""Published data sets as tables of records: of the hub, or of a folder on this machine that has them in the hub's layout."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import JobError

LOCAL = "LETHE_DATASETS"  # a folder with data sets as OWNER/NAME, in the hub's layout


@dataclass(frozen=True)
class Table:
    """One split: its records by their number, which counts on through several configurations. `name` is for messages."""

    name: str
    parts: Sequence[Any]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __getitem__(self, number: int) -> Mapping[str, Any]:
        for part in self.parts:
            if number < len(part):
                record: Mapping[str, Any] = part[number]
                return record
            number -= len(part)
        raise IndexError(number)

    def require(self, columns: Sequence[str]) -> None:
        """Raise JobError unless every part has these columns."""
        for part in self.parts:
            missing = [column for column in dict.fromkeys(columns) if column not in part.column_names]
            if missing:
                raise JobError(
                    f"{self.name}: has no column {', '.join(missing)}; it has {', '.join(part.column_names)}. Name the right "
                    "ones under columns, or another data set"
                )


def local_folder() -> Path | None:
    """Where data sets lie on this machine, if anybody said so."""
    named = os.environ.get(LOCAL)
    return Path(named) if named else None


def load_table(hub: str, configs: str | Sequence[str] | None, revision: str | None, split: str) -> Table:
    """A split of a data set, of one configuration (None: the only one) or of several together.

    `hub` is a folder in the hub's layout, or an id: then the folder `$LETHE_DATASETS/OWNER/NAME` is read where there is one,
    else the hub, or what this machine has of it in its cache. Raises JobError where it does not exist, is gated, cannot be
    reached, or has no such configuration or split.
    """
    wanted = [configs] if configs is None or isinstance(configs, str) else configs
    shown = "+".join(config for config in wanted if config)
    name = f"{hub} {shown}".rstrip() + f", split {split}"
    return Table(name, [_load(hub, config, revision, split, name) for config in wanted])


def _load(hub: str, config: str | None, revision: str | None, split: str, where: str) -> Any:
    import datasets  # it takes a second that rows made by rule need not pay
    import httpx

    datasets.disable_progress_bars()
    folder = _folder(hub)
    source, moved = (hub, revision) if folder is None else (str(folder), None)
    try:
        return datasets.load_dataset(source, name=config, split=split, revision=moved)
    except (ConnectionError, httpx.TransportError) as error:
        raise JobError(_offline(hub, where, error)) from error
    except datasets.exceptions.DatasetNotFoundError as error:
        raise JobError(_not_found(hub, where, str(error))) from error
    except RuntimeError as error:  # a data set that is a script
        raise JobError(
            f"{where}: {error}; the hub keeps converted files of most such data sets at refs/convert/parquet"
        ) from error
    except (datasets.exceptions.DatasetsError, OSError, ValueError) as error:  # what the hub's client raises is an OSError
        raise JobError(f"{where}: cannot be read: {error}; check its configuration and split, and its files") from error


def _folder(hub: str) -> Path | None:
    """The folder that is read in the hub's place, if any. Raises JobError for a path that leads to none."""
    if hub.startswith((".", "/", "~")):
        if not Path(hub).is_dir():
            raise JobError(f"{hub}: there is no such folder; name one, or a data set of the hub")
        return Path(hub)
    local = local_folder()
    return local / hub if local is not None and (local / hub).is_dir() else None


def _offline(hub: str, where: str, error: Exception) -> str:
    return (
        f"{where}: the hub cannot be reached ({error}). Run this job on a machine with a network (its cache, HF_HOME, may be "
        f"shared), or put the data set's files into a folder {hub} below a folder that {LOCAL} names"
    )


def _not_found(hub: str, where: str, said: str) -> str:
    if "gated" in said:
        return f"{where}: is gated; ask for access at https://huggingface.co/datasets/{hub}, then set HF_TOKEN where jobs run"
    return f"{where}: {said} Check its name and revision; for a private data set, set HF_TOKEN where jobs run"
