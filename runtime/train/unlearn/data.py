"""What an unlearning job's dataset holds, as sequences: the rows to forget, to retain, and the answers to prefer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from runtime.data.rows import read_rows
from runtime.errors import JobError
from runtime.prompts import Tokens
from runtime.train.unlearn.pairing import PAIRINGS, Alternates, Sets
from runtime.train.unlearn.sequences import answer_tokens, read_sequences
from runtime.train.unlearn.settings import LEARNING, Settings

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Wanted:
    """What an objective reads beside the rows to forget."""

    retain: bool = False
    alternates: bool = False


def read_sets(folder: Path, rows: Rows, settings: Settings, tokenizer: Any, wanted: Wanted) -> Sets:
    """The sequences of the dataset in `folder`, `rows` being those to forget. JobError where something wanted is not there."""
    if settings.algorithm in LEARNING:
        return Sets(_sequences(rows, settings, tokenizer, folder / "data.jsonl"))
    forget = _sequences(rows, settings, tokenizer, folder / "forget.jsonl")
    about = _about(folder / "unlearning.json")
    retain: Sequence[Tokens] = ()
    if wanted.retain:
        file = folder / "retain.jsonl"
        retain = _sequences(read_rows(file) if file.is_file() else (), settings, tokenizer, file)
    alternates = _alternates(folder, rows, settings, tokenizer, about) if wanted.alternates else None
    return Sets(forget, retain, alternates, about["pairing"], about["seed"])


def _sequences(rows: Rows, settings: Settings, tokenizer: Any, file: Path) -> list[Tokens]:
    found = read_sequences(rows, settings.text, tokenizer, settings.max_length, file)
    if not found:
        raise JobError(f"{file}: holds nothing for {settings.algorithm} to read; build the dataset with such rows")
    return found


def _about(file: Path) -> Mapping[str, Any]:
    """What the dataset says of itself: `pairing`, `seed`, `alternates`, `draw`."""
    if not file.is_file():
        raise JobError(f"{file}: no such file; the job that makes this folder writes it")
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if found.get("pairing") not in PAIRINGS:
        raise JobError(f"{file}: there is no pairing {found.get('pairing')!r}; there are {', '.join(PAIRINGS)}")
    return found


def _alternates(folder: Path, rows: Rows, settings: Settings, tokenizer: Any, about: Mapping[str, Any]) -> Alternates:
    if settings.text != "answers":
        raise JobError("text: alternate_dpo prefers one answer to another, and so reads answers")
    if about.get("draw") == "each_visit":
        return _refusals(folder / "refusals.txt", rows, tokenizer)
    without = [number for number, row in enumerate(rows, start=1) if not isinstance(row.get("alternate"), str)]
    if without:
        raise JobError(
            f"{folder / 'forget.jsonl'}:{without[0]}: has no alternate to prefer; take a dataset with refusals or with "
            "sampled answers"
        )
    return Alternates(1, cache(lambda row, number: answer_tokens(rows[row]["prompt"], rows[row]["alternate"], tokenizer)))


def _refusals(file: Path, rows: Rows, tokenizer: Any) -> Alternates:
    """Any line of the file, to each row."""
    lines = [line for line in file.read_text(encoding="utf-8").split("\n") if line.strip()] if file.is_file() else []
    if not lines:
        raise JobError(f"{file}: holds no refusal to draw; build the dataset again")
    return Alternates(len(lines), cache(lambda row, number: answer_tokens(rows[row]["prompt"], lines[number], tokenizer)))
