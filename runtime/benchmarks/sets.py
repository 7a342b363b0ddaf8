"""The sets of rows of an unlearning domain: ids that follow from content, what must hold of them, and the files they become.

train.jsonl      {"id", "prompt", "answer", "solution"}, or {"id", "text"}
retain.jsonl     the same; absent where nothing is retained
eval/NAME.jsonl  what metrics read
rows.json        {"source", "counts": {file: rows}}
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.data.rows import Row, write_rows
from runtime.errors import JobError
from runtime.job import Job, write_json


@dataclass(frozen=True)
class Sets:
    """What a source gives: rows to train on, rows to retain (None: nothing is), and evaluation rows by the set's name."""

    train: Sequence[Row]
    retain: Sequence[Row] | None
    evaluation: Mapping[str, Sequence[Row]]


def content_id(*texts: str) -> str:
    """An id (16 hex digits) that a row has in whatever set it stands: a hash of its texts."""
    return hashlib.sha256("\0".join(texts).encode("utf-8")).hexdigest()[:16]


def question(asked: str, answer: str) -> dict[str, Any]:
    """A question to train on."""
    return {"id": content_id(asked, answer), "prompt": asked, "answer": answer, "solution": answer}


def text_row(text: str) -> dict[str, Any]:
    """A text to train on, or to recognise."""
    return {"id": content_id(text), "text": text}


def numbered(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows, with ids that differ: what comes again within a set is numbered from its second time on.

    So each row is one that can be told from the others, and the first has the id that it has in other sets.
    """
    seen: Counter[str] = Counter()
    found = []
    for row in rows:
        seen[row["id"]] += 1
        times = seen[row["id"]]
        found.append({**row, "id": row["id"] if times == 1 else content_id(row["id"], str(times))})
    return found


def check_count(what: str, rows: Sequence[Row], setting: str, wanted: int | None) -> None:
    """Raises JobError where there are not as many rows as the spec says, on which the planned steps rest."""
    if wanted is not None and len(rows) != wanted:
        raise JobError(f"{setting}: {what} has {len(rows)} rows, but the spec says {wanted}; correct the domain's `{setting}`")


def write_sets(job: Job, source: str, sets: Sets) -> dict[str, Any]:
    """Write every file. The facts: how many rows each has, and what comes again in one or stands in several.

    Raises JobError where a set would be empty, and where a question is both to be forgotten and retained.
    """
    files = {"train.jsonl": sets.train, **({"retain.jsonl": sets.retain} if sets.retain is not None else {})}
    files |= {f"eval/{name}.jsonl": rows for name, rows in sets.evaluation.items()}
    for name, rows in files.items():
        if not rows:
            raise JobError(f"{job.id}: {name} would hold no row; look at what the data set has there")
    shared = _shared(job, sets)
    if sets.evaluation:
        (job.out / "eval").mkdir(exist_ok=True)
    for name, rows in files.items():
        write_rows(job.out / name, numbered(rows))
    counts = {name: len(rows) for name, rows in files.items()}
    write_json(job.out / "rows.json", {"source": source, "counts": counts})
    job.progress(sum(counts.values()), sum(counts.values()))
    repeated = {name: len(rows) - len({row["id"] for row in rows}) for name, rows in files.items()}
    return {"counts": counts, "repeated": {name: many for name, many in repeated.items() if many}, "shared": shared}


def _shared(job: Job, sets: Sets) -> dict[str, int]:
    """How many rows stand in sets that should share none. Raises JobError where these are questions.

    Published texts are taken as they are: an article may well stand in two places.
    """
    forget, retain = ({row["id"] for row in rows} for rows in (sets.train, sets.retain or ()))
    holdout = {row["id"] for row in sets.evaluation.get("holdout", ())}
    pairs = {"train and retain": forget & retain, "holdout and what is trained on": holdout & (forget | retain)}
    for names, both in pairs.items():
        if both and "prompt" in sets.train[0]:
            raise JobError(
                f"{job.id}: {len(both)} questions stand in both {names}, as {min(both)}; choose splits that share none"
            )
    return {names: len(both) for names, both in pairs.items() if both}
