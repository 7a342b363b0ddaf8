"""Which sequences of a row are scored, and what the forward pass saw of each. A sequence is scored once, whoever reads it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.data.rows import Row
from runtime.errors import JobError
from runtime.metrics.encode import Encoder, Scored, behind_prefix
from runtime.metrics.items import QUANTITIES, Item, Role, Seen
from runtime.metrics.items import Row as SeenRow
from runtime.metrics.sets import VERBMEM, Sets
from runtime.sampling import item_seed

HOLDOUT = "holdout"
Sequences = Mapping[Role, tuple[Scored, ...]]


@dataclass(frozen=True)
class Prefix:
    """What stands before rows for ReCall: tokens, and the holdout rows, by number, that they come from."""

    tokens: tuple[int, ...]
    rows: frozenset[int]


def roles_of(items: Iterable[Item]) -> dict[str, frozenset[Role]]:
    """The sequences that are needed of each row, by split."""
    found: dict[str, set[Role]] = {}
    for item in items:
        wanted = QUANTITIES[item.quantity]
        if wanted.made in ("tokens", "gradients"):
            found.setdefault(item.split, set()).update(wanted.roles or ("answer",))
    return {split: frozenset(roles) for split, roles in found.items()}


def draw_prefix(encoder: Encoder, sets: Sets, config: Mapping[str, Any]) -> Prefix:
    """Rows of the holdout set, drawn by the seed, one after the other, cut to so many tokens. Raises JobError where that would
    be all of them."""
    asked, rows = config["recall"], sets.rows[HOLDOUT]
    if asked["shots"] >= len(rows):
        raise JobError(f"recall: {asked['shots']} shots of {len(rows)} holdout rows leave none to measure; take fewer shots")
    chosen = random.Random(item_seed(config["seed"], "recall")).sample(range(len(rows)), asked["shots"])
    text = "".join(_whole(encoder, rows[number]) + "\n\n" for number in chosen)
    tokens = encoder.tokens(text)
    own = tokens if encoder.first_token is None else tokens[1:]
    return Prefix(tuple(own[: asked["prefix_tokens"]]), frozenset(chosen))


def _whole(encoder: Encoder, row: Row) -> str:
    if "text" in row:
        return str(row["text"])
    return encoder.asked(row["prompt"]) + encoder.answered(row["answer"])


def sequences_of(
    encoder: Encoder, sets: Sets, split: str, roles: frozenset[Role], max_length: int, prefix: Prefix | None
) -> Iterator[Sequences]:
    """The sequences of each row of a split. Raises JobError for an answer that is too long: to cut it would score another."""
    for row in sets.rows[split]:
        found = {role: tuple(_of_role(encoder, split, row, role, max_length, prefix)) for role in sorted(roles)}
        for scored in (one for role, those in found.items() if role != "behind" for one in those):
            if len(scored.ids) > max_length:
                message = f"row {row['id']} of {split} has {len(scored.ids)} tokens, max_length is {max_length}; raise it"
                raise JobError(message)
        yield found


def _of_role(encoder: Encoder, split: str, row: Row, role: Role, max_length: int, prefix: Prefix | None) -> Iterator[Scored]:
    if role == "behind":
        if prefix is None:
            raise RuntimeError("a prefix was to be drawn")
        for scored in _of_role(encoder, split, row, "answer", max_length, None):
            yield behind_prefix(scored, prefix.tokens, encoder.first_token)
    elif "text" in row:
        yield encoder.plain(row["text"], max_length)
    elif split == VERBMEM:
        yield encoder.continuation(row["prompt"], row["answer"], max_length)
    else:
        texts = row["perturbed"] if role == "wrong" else [row["paraphrased"] or row["answer"]] if role == "right" else None
        for text in texts or [row["answer"]]:
            yield encoder.answer(row["prompt"], text)


def once(rows: Mapping[str, Sequence[Sequences]]) -> list[Scored]:
    """Every sequence of all rows, once."""
    return list(dict.fromkeys(one for of_split in rows.values() for row in of_split for those in row.values() for one in those))


def seen(row: Sequences, known: Callable[[Scored], Seen]) -> SeenRow:
    """What the forward pass saw of a row."""
    return {role: tuple(known(one) for one in those) for role, those in row.items()}
