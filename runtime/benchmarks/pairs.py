"""`dataset.unlearning`: rows to forget and rows to retain, and what is to be said in place of what is forgotten.

forget.jsonl     {"id", "prompt", "answer"}, with an `alternate` where one is fixed, or {"id", "text"}
retain.jsonl     the same without alternates; absent where nothing is retained
refusals.txt     one a line, where another is drawn each time that a row is seen
unlearning.json  {"pairing", "seed", "alternates", "draw"}: how the trainer puts them together
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from runtime.benchmarks.refusals import read_refusals
from runtime.data.mixture import Part, mixed, shard
from runtime.data.rows import Row, read_rows, read_split, write_rows
from runtime.errors import JobError
from runtime.job import Job, write_json, write_text

FORGET, RETAIN, REFUSALS, ABOUT = "forget.jsonl", "retain.jsonl", "refusals.txt", "unlearning.json"


@dataclass(frozen=True)
class Unlearning:
    """A dataset's files as they are read and written; `retain` and `refusals` are empty where there are none."""

    forget: Sequence[Row]
    retain: Sequence[Row]
    refusals: Sequence[str]
    about: Mapping[str, Any]


def build(job: Job) -> dict[str, Any]:
    """Make the dataset from a domain's `rows` and, for sampled alternates, from `traces`.

    The facts: its rows, and why questions were left out. Raises JobError where rows repeat an id, or none is left.
    """
    config, folder = job.config, job.inputs["rows"].path
    forget = [_plain(row, folder / "train.jsonl") for row in read_split(folder, "train")]
    retain = [_plain(row, folder / RETAIN) for row in read_rows(folder / RETAIN)] if (folder / RETAIN).is_file() else []
    for name, rows in (("train.jsonl", forget), (RETAIN, retain)):
        _check_ids(folder / name, rows)
    drawn, dropped = config["refusals"], dict[str, int]()
    refusals = read_refusals(drawn) if drawn else ()
    if config["alternates"] != "none" and "text" in forget[0]:
        raise JobError(f"{job.id}: the rows are texts, and alternates are other answers to questions; take alternates: none")
    if config["alternates"] == "sampled":
        forget, dropped = _sampled(forget, read_rows(job.inputs["traces"].path / "traces.jsonl"), config["per_question"])
    elif drawn and drawn["draw"] == "once":
        forget, refusals = [_refused(row, refusals, config["seed"]) for row in forget], ()
    if not forget:
        why = "; ".join(f"{reason}: {count}" for reason, count in dropped.items())
        raise JobError(f"{job.id}: no row to forget is left ({why}); sample more")
    about = {"pairing": config["pairing"], "seed": config["seed"], "alternates": config["alternates"]}
    write(job.out, Unlearning(forget, retain, refusals, {**about, "draw": drawn["draw"] if drawn else None}))
    job.progress(len(forget), len(forget), retain=len(retain))
    return {"forget": len(forget), "retain": len(retain), "refusals": len(refusals), "dropped": dropped}


def write(folder: Path, made: Unlearning) -> None:
    """Write the dataset's files into `folder`."""
    write_rows(folder / FORGET, made.forget)
    if made.retain:
        write_rows(folder / RETAIN, made.retain)
    if made.refusals:
        write_text(folder / REFUSALS, "".join(f"{line}\n" for line in made.refusals))
    write_json(folder / ABOUT, dict(made.about))


def read(folder: Path) -> Unlearning:
    """The dataset in `folder`. Raises JobError where it is none."""
    if not (folder / ABOUT).is_file():
        raise JobError(f"{folder / ABOUT}: no such file; the job that makes this folder writes it")
    retain = read_rows(folder / RETAIN) if (folder / RETAIN).is_file() else []
    lines = (folder / REFUSALS).read_text(encoding="utf-8").split("\n") if (folder / REFUSALS).is_file() else []
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    return Unlearning(read_rows(folder / FORGET), retain, [line for line in lines if line], about)


def mix(parts: Sequence[Part], found: Mapping[str, Unlearning], seed: int, cut: tuple[int, int] | None) -> Unlearning:
    """One dataset of several: the rows to forget in the parts' shares, or one shard of them, and all that any part retains.

    What is to be forgotten of one part is retained of none. Raises JobError where the parts are put together in different ways.
    """
    first = next(iter(found.values()))
    for name, other in found.items():
        if other.about != first.about or list(other.refusals) != list(first.refusals):
            raise JobError(
                f"{name}: its alternates or its pairing are others than those of {next(iter(found))}; build them alike"
            )
    rows = mixed([replace(part, rows=found[part.name].forget) for part in parts], seed)
    forgotten = {_content(row) for other in found.values() for row in other.forget}
    retain = {_content(row): {**row, "domain": name} for name, other in found.items() for row in other.retain}
    kept = [row for content, row in retain.items() if content not in forgotten]
    return replace(first, forget=rows if cut is None else shard(rows, *cut), retain=kept)


def _plain(row: Row, file: Path) -> dict[str, Any]:
    """What a trainer reads of a row."""
    names = ("id", "text") if "text" in row else ("id", "prompt", "answer")
    missing = [name for name in names if name not in row]
    if missing:
        raise JobError(f"{file}: row {row.get('id')} has no {', '.join(missing)}; is this a domain to be unlearned?")
    return {name: row[name] for name in names}


def _content(row: Row) -> tuple[str, ...]:
    """What a row says; pairs of one question have ids of their own."""
    return (row["text"],) if "text" in row else (row["prompt"], row["answer"])


def _check_ids(file: Path, rows: Sequence[Row]) -> None:
    repeated = [name for name, times in Counter(row["id"] for row in rows).items() if times > 1]
    if repeated:
        raise JobError(f"{file}: {len(repeated)} ids come more than once, as {repeated[0]}; prepare the domain again")


def _refused(row: Row, refusals: Sequence[str], seed: int) -> dict[str, Any]:
    return {**row, "alternate": Random(f"{seed}:{row['id']}").choice(refusals)}


def _sampled(forget: Sequence[Row], traces: Sequence[Row], per_question: int) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Each row once for each of `per_question` sampled answers, and for each reason how many rows are left out.

    A sample that is empty, or the row's own answer, teaches nothing. Where too few are left they are taken in turn, so that as
    many rows are made of each question.
    """
    samples = {trace["id"]: [sample["text"] for sample in trace["samples"]] for trace in traces}
    found: list[dict[str, Any]] = []
    dropped: Counter[str] = Counter()
    for row in forget:
        usable = [text for text in samples.get(row["id"], []) if text.strip() not in ("", row["answer"].strip())]
        if not usable:
            dropped["no other answer" if row["id"] in samples else "not asked"] += 1
            continue
        pairs = ((number, usable[(number - 1) % len(usable)]) for number in range(1, per_question + 1))
        found += [{**row, "id": f"{row['id']}-{number}", "alternate": text} for number, text in pairs]
    return found, dict(sorted(dropped.items()))
