"""Data sets as tables of records: `datasets.load_dataset` of one or several configurations, with messages for whatever stands
in the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import JobError

ADVICE = "run this script on a machine that has a network, which fills the cache of this one, or name a folder with the files"


@dataclass(frozen=True)
class Table:
    """One split: its records by their number, which counts on through several configurations. `name` is for messages and
    ids."""

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
            missing = [column for column in columns if column not in part.column_names]
            if missing:
                raise JobError(
                    f"{self.name}: there is no column {missing[0]!r}; it has {', '.join(part.column_names)}. Name the right "
                    "one under columns"
                )


def load_table(hub: str, configs: str | Sequence[str] | None, revision: str | None, split: str) -> Table:
    """A split of a data set of the hub, or of a folder laid out like one, of one configuration or of several together.

    Raises JobError where it does not exist, is gated, cannot be reached, or has no such configuration or split.
    """
    wanted = [configs] if configs is None or isinstance(configs, str) else configs
    shown = "+".join(config for config in wanted if config)
    return Table(f"{hub} {shown} {split}".replace("  ", " "), [_load(hub, config, revision, split) for config in wanted])


def _load(hub: str, config: str | None, revision: str | None, split: str) -> Any:
    import datasets  # takes a second, which other sources need not pay

    name = f"{hub}@{revision}" if revision else hub
    if hub.startswith((".", "/", "~")) and not Path(hub).is_dir():
        raise JobError(f"{hub}: there is no such folder")
    try:
        return datasets.load_dataset(hub, config, split=split, revision=revision)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise JobError(_not_found(hub, name, str(error))) from error
    except (ValueError, datasets.exceptions.SplitsVerificationError) as error:  # a configuration or a split that is not there
        raise JobError(f"{name}: {error}") from error
    except RuntimeError as error:
        raise JobError(
            f"{name}: {error}; the hub keeps converted files of most such data sets at refs/convert/parquet"
        ) from error
    except OSError as error:  # ConnectionError is one, and what the hub's client raises
        raise JobError(f"cannot load {name}: {error}; {ADVICE}") from error


def _not_found(hub: str, name: str, said: str) -> str:
    if "gated" in said:
        return f"{hub} is gated: ask for access at https://huggingface.co/datasets/{hub}, then set HF_TOKEN where jobs run"
    return f"{name}: {said} Check the name and the revision in the catalog; of a private data set, set HF_TOKEN"
