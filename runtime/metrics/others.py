"""The scores of another model that metrics compare with, read from what its own evaluation wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runtime.data.rows import read_rows
from runtime.errors import JobError
from runtime.metrics.items import Item, Values


def read_scores(folder: Path, whose: str) -> Mapping[str, Any]:
    """What `scores.json` says of the suite and the prompts."""
    file = folder / "scores.json"
    if not file.is_file():
        raise JobError(f"{file}: the {whose}'s scores are not there; run the job that makes them")
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def check_comparable(scores: Mapping[str, Any], whose: str, **own: Any) -> None:
    """Raises JobError unless the other model was measured with the same suite, in the same version, on the same prompts."""
    for name, value in own.items():
        if scores.get(name) != value:
            raise JobError(
                f"the {whose}'s scores have {name} {scores.get(name)!r}, these {value!r}: that is no measurement of the same; "
                "compile again, and run the evaluation of both"
            )


def read_items(folder: Path, whose: str, items: Iterable[Item], ids: Mapping[str, tuple[str, ...]]) -> dict[Item, Values]:
    """Another model's numbers of `items`; a number that is not finite there is NaN here.

    Raises JobError where they are not of the same rows (`ids`, by split).
    """
    wanted = set(items)
    found: dict[Item, list[tuple[str, float]]] = {item: [] for item in wanted}
    for row in read_rows(folder / "items.jsonl"):
        item = Item(row["metric"], row["split"])
        if item in wanted:
            found[item].append((row["id"], math.nan if row["value"] is None else row["value"]))
    for item, pairs in found.items():
        if tuple(name for name, _ in pairs) != ids[item.split]:
            raise JobError(
                f"the {whose}'s scores have {len(pairs)} numbers '{item.quantity}' of {item.split}, here are "
                f"{len(ids[item.split])} rows, or others; measure both on the same rows with the same suite"
            )
    return {item: Values(*(tuple(part) for part in zip(*pairs, strict=True))) for item, pairs in found.items()}
