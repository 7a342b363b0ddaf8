"""The evaluation sets of an unlearning domain, and what each is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.data.rows import Row, read_rows
from runtime.errors import JobError
from runtime.metrics.items import QUANTITIES, Item, Role

VERBMEM = "forget_verbmem"
EXAMPLES = "{split}_icl"  # solved questions that are shown before those of the split
ANSWERED: Mapping[str, str] = {  # how answers to a split are made
    "forget": "qa",
    "retain": "qa",
    "real_authors": "qa",
    "world_facts": "qa",
    "forget_knowmem": "knowmem",
    "retain_knowmem": "knowmem",
    VERBMEM: "verbmem",
}
COLUMNS: Mapping[Role, tuple[str, ...]] = {"right": ("paraphrased",), "wrong": ("perturbed",)}


@dataclass(frozen=True)
class Sets:
    """The rows of a domain's evaluation sets: `eval/NAME.jsonl` of a `dataset.rows` artifact, and `domain` its name."""

    domain: str
    rows: Mapping[str, tuple[Row, ...]]

    def ids(self, split: str) -> tuple[str, ...]:
        """The ids of a split's rows, in order."""
        return tuple(str(row["id"]) for row in self.rows[split])

    def examples(self, split: str) -> tuple[Row, ...]:
        """The solved examples that are shown before a split's questions; none where there are none."""
        return self.rows.get(EXAMPLES.format(split=split), ())


def splits_of(folder: Path) -> frozenset[str]:
    """The names of the evaluation sets that are there."""
    return frozenset(file.stem for file in (folder / "eval").glob("*.jsonl"))


def read_sets(domain: str, folder: Path, items: Iterable[Item]) -> Sets:
    """The sets that `items` are of, with their examples. Raises JobError where one, or a column that is read, is not there."""
    there, wanted = splits_of(folder), list(items)
    rows: dict[str, tuple[Row, ...]] = {}
    for item in wanted:
        if item.split not in there:
            has = ", ".join(sorted(there)) or "none"
            raise JobError(f"{item.quantity} is of eval/{item.split}.jsonl, which domain {domain!r} has not; it has: {has}")
        if item.split not in rows:
            rows[item.split] = tuple(read_rows(folder / "eval" / f"{item.split}.jsonl"))
            shown = EXAMPLES.format(split=item.split)
            rows |= {shown: tuple(read_rows(folder / "eval" / f"{shown}.jsonl"))} if shown in there else {}
        if not rows[item.split]:
            raise JobError(f"eval/{item.split}.jsonl of domain {domain!r} holds no row, and {item.quantity} is of its rows")
        _check_columns(domain, item, rows[item.split])
    return Sets(domain, rows)


def _check_columns(domain: str, item: Item, rows: tuple[Row, ...]) -> None:
    """Each row must have what the quantity reads."""
    for number, row in enumerate(rows, start=1):
        lacking = [name for name in _columns(item, row) if name not in row or (name == "perturbed" and not row[name])]
        if lacking:
            where = f"eval/{item.split}.jsonl:{number} of domain {domain!r}"
            raise JobError(f"{where} has no {' and no '.join(lacking)}, which {item.quantity} reads; make the rows anew")


def _columns(item: Item, row: Row) -> tuple[str, ...]:
    """A row is a question or a text; only of questions can answers be made and compared."""
    found = QUANTITIES[item.quantity]
    more = tuple(column for role in found.roles for column in COLUMNS.get(role, ()))
    asked = more or found.made in ("answers", "fluency") or "text" not in row
    return ("id", *(("prompt", "answer") if asked else ("text",)), *more)


def generation_of(item: Item, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """How answers to a split's questions are made. Raises JobError where the config does not say it."""
    kind = ANSWERED.get(item.split)
    if kind is None or kind not in config["generation"]:
        said = ", ".join(config["generation"])
        raise JobError(f"{item.quantity} of {item.split} needs generated answers ({kind}); the suite's generation has {said}")
    found: Mapping[str, Any] = config["generation"][kind]
    return found
