"""Rows of a data set of the hub, or of a folder that is laid out like one, by its own columns (`forms.py`, `tables.py`).

Which records are drawn follows from the seed alone. Evaluation rows are drawn first; a training record with the prompt of one
of them is left out, and so is one whose own solution its grader takes for wrong: nothing could be learned from it but to be
wrong, and no reward be had. What was left out is counted in the job's facts.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import Any

from runtime.domains.forms import FORMS, Draft, Form, Unfit
from runtime.domains.made import Made, Rows
from runtime.domains.tables import Table, load_table
from runtime.errors import JobError
from runtime.graders import grade_many

TOGETHER = 256  # drafts whose solutions are graded at a time


@dataclass
class _Drawn:
    """What one split gave: rows, their records' numbers, and how many records were left out for each reason."""

    rows: Rows = field(default_factory=list)
    numbers: set[int] = field(default_factory=set)
    dropped: Counter[str] = field(default_factory=Counter)


def make_rows(config: Mapping[str, Any]) -> Made:
    """`train` and `eval` rows as the config asks. Raises JobError where there are fewer, or where the data is not what it
    says."""
    form = _form(config)
    evaluated = _table(config, "eval")
    one_split = config["splits"]["train"] == config["splits"]["eval"]
    trained = evaluated if one_split else _table(config, "train")
    orders = _orders(config, len(trained), None if one_split else len(evaluated))
    evaluation = _Drawn()
    for number in orders["eval"]:
        if len(evaluation.rows) == config["eval"]:
            break
        draft = _draft(evaluated, number, form, config, evaluation.dropped)
        if draft is not None:
            solution = draft.solutions[0] if draft.solutions else ""
            evaluation.rows.append({"id": _id(config, "eval", number), **draft.row, "solution": solution})
            evaluation.numbers.add(number)
    _check_enough(evaluation, config["eval"], evaluated, "eval")
    rest = [number for number in orders["train"] if not (one_split and number in evaluation.numbers)]
    training = _train(trained, rest, form, config, {row["prompt"] for row in evaluation.rows})
    _check_enough(training, config["train"], trained, "train")
    return Made(training.rows, evaluation.rows, _facts(training, evaluation))


def draw_order(length: int, *seed: object) -> list[int]:
    """The numbers below `length` in an order that the seed decides."""
    return Random("/".join(map(str, seed))).sample(range(length), length)


def _form(config: Mapping[str, Any]) -> Form:
    if config["form"] not in FORMS:
        raise JobError(f"form: there is no {config['form']!r}; this runtime has {', '.join(FORMS)}")
    return FORMS[config["form"]]


def _table(config: Mapping[str, Any], split: str) -> Table:
    table = load_table(config["hub"], config["config"], config["revision"], config["splits"][split])
    table.require([column for named in config["columns"].values() for column in _names(named)])
    return table


def _names(named: Any) -> Sequence[str]:
    if named is None:
        return ()
    return (named,) if isinstance(named, str) else tuple(named)


def _orders(config: Mapping[str, Any], train: int, evaluation: int | None) -> dict[str, list[int]]:
    """The order of each split's records; one and the same, where both are draws of one split (`evaluation` is None)."""
    seed = short_name(config["hub"]), config["seed"]
    order = draw_order(train, *seed, config["splits"]["train"])
    return {"train": order, "eval": order if evaluation is None else draw_order(evaluation, *seed, config["splits"]["eval"])}


def _draft(table: Table, number: int, form: Form, config: Mapping[str, Any], dropped: Counter[str]) -> Draft | None:
    try:
        return form.draft(table[number], config)
    except Unfit as reason:
        dropped[str(reason)] += 1
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise JobError(
            f"{table.name}: record {number} is not of form {config['form']} ({type(error).__name__}: {error}); choose another "
            "form, or other columns"
        ) from error
    return None


def _train(table: Table, order: Sequence[int], form: Form, config: Mapping[str, Any], held_out: set[str]) -> _Drawn:
    drawn = _Drawn()
    drafts = _drafts(table, order, form, config, held_out, drawn.dropped)
    while len(drawn.rows) < config["train"]:
        batch = [found for _, found in zip(range(min(TOGETHER, config["train"] - len(drawn.rows))), drafts, strict=False)]
        if not batch:
            break
        for (number, draft), solution in zip(batch, right_solutions([draft for _, draft in batch], form.grader), strict=True):
            if solution is None:
                drawn.dropped["no solution that its grader takes"] += 1
            else:
                drawn.rows.append({"id": _id(config, "train", number), **draft.row, "solution": solution})
    return drawn


def _drafts(
    table: Table, order: Sequence[int], form: Form, config: Mapping[str, Any], held_out: set[str], dropped: Counter[str]
) -> Iterator[tuple[int, Draft]]:
    for number in order:
        draft = _draft(table, number, form, config, dropped)
        if draft is not None and draft.row["prompt"] in held_out:
            dropped["its prompt is evaluated"] += 1
        elif draft is not None:
            yield number, draft


def right_solutions(drafts: Sequence[Draft], grader: str) -> list[str | None]:
    """Of each draft the first solution that its grader takes; None where it takes none."""
    found: list[str | None] = [None] * len(drafts)
    for attempt in range(max((len(draft.solutions) for draft in drafts), default=0)):
        open_ = [place for place, draft in enumerate(drafts) if found[place] is None and attempt < len(draft.solutions)]
        verdicts = _grade([drafts[place].row for place in open_], [drafts[place].solutions[attempt] for place in open_], grader)
        for place, right in zip(open_, verdicts, strict=True):
            found[place] = drafts[place].solutions[attempt] if right else None
    return found


def _grade(rows: Sequence[Mapping[str, Any]], solutions: Sequence[str], grader: str) -> list[bool]:
    """As `grade_many`, on all cores: a batch of programs is run one after the other."""
    lanes = range(os.cpu_count() or 1)
    with ThreadPoolExecutor(len(lanes)) as threads:
        graded = list(
            threads.map(lambda lane: grade_many(grader, rows[lane :: len(lanes)], solutions[lane :: len(lanes)]), lanes)
        )
    return [graded[place % len(lanes)][place // len(lanes)] for place in range(len(rows))]


def _id(config: Mapping[str, Any], split: str, number: int) -> str:
    """The data set's name, the split, and the record's number there, so that a row can be found again."""
    return f"{short_name(config['hub'])}-{split}-{number:06d}"


def short_name(hub: str) -> str:
    """The last part of an id or a folder: the same data gives the same rows wherever it lies."""
    return hub.rstrip("/").rpartition("/")[2]


def _check_enough(drawn: _Drawn, asked: int, table: Table, split: str) -> None:
    if len(drawn.rows) < asked:
        why = "; ".join(f"{reason}: {count}" for reason, count in sorted(drawn.dropped.items())) or "it has no more"
        raise JobError(f"{split}: {table.name} gives {len(drawn.rows)} rows, not {asked} ({why}); ask for fewer")


def _facts(training: _Drawn, evaluation: _Drawn) -> dict[str, Any]:
    splits = {"dropped_train": training.dropped, "dropped_eval": evaluation.dropped}
    return {name: dict(sorted(dropped.items())) for name, dropped in splits.items() if dropped}
