"""A model's numbers of rows: one forward pass for all that read tokens, one generation for all that read answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from runtime.errors import JobError
from runtime.metrics.encode import Encoder, Scored
from runtime.metrics.fluency import Classifier
from runtime.metrics.forward import Kept, score
from runtime.metrics.gradients import gradient_norm
from runtime.metrics.items import QUANTITIES, Item, Made, Options, Seen, Values, counted_labels
from runtime.metrics.rouge import cut, rouge
from runtime.metrics.sequences import HOLDOUT, Prefix, Sequences, once, seen
from runtime.metrics.sets import ANSWERED, VERBMEM, Sets, generation_of
from runtime.sampling import Decoding, sample_tokens

Answers = Mapping[str, Sequence[str]]  # by split, in the order of its rows
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Model:
    """A checkpoint that is ready to be measured, and how many rows it takes at once."""

    model: Any
    encoder: Encoder
    batch: int


@dataclass(frozen=True)
class Measuring:
    """What is measured: the sets, the items, and how."""

    sets: Sets
    items: tuple[Item, ...]
    config: Mapping[str, Any]
    prefix: Prefix | None = None
    sequences: Mapping[str, Sequence[Sequences]] = field(default_factory=dict)

    @property
    def options(self) -> Options:
        """The settings that choose between forms of a number."""
        return Options.of(self.config)

    def made(self, *how: Made) -> list[Item]:
        """The items that are made in one of these ways."""
        return [item for item in self.items if QUANTITIES[item.quantity].made in how]

    def ids(self, item: Item) -> tuple[str, ...]:
        """The ids of the rows that an item is of: all of its split but, for ReCall, those that its prefix was made of."""
        left_out = self.prefix.rows if self.prefix and item == Item("mia_recall", HOLDOUT) else frozenset()
        return tuple(name for number, name in enumerate(self.sets.ids(item.split)) if number not in left_out)


def work(asked: Measuring) -> tuple[int, int, int]:
    """How many sequences to score, answers and gradients there are to make."""
    answered = {item.split for item in asked.made("answers", "fluency")}
    rows = sum(len(asked.sets.rows[split]) for split in answered)
    return len(_to_score(asked)), rows, sum(len(asked.ids(item)) for item in asked.made("gradients"))


def from_tokens(model: Model, asked: Measuring, progress: Progress) -> dict[Item, Values]:
    """The items that are made of tokens, from one pass over every sequence."""
    items, sequences = asked.made("tokens"), _to_score(asked)
    _check_room(model.model, sequences)
    found = score(model.model, sequences, model.batch, _much(asked, items, sequences), progress)
    known = {one: Seen(one, tokens) for one, tokens in zip(sequences, found, strict=True)}
    return {item: _of_item(item, asked, known) for item in items}


def _much(asked: Measuring, items: Sequence[Item], sequences: Sequence[Scored]) -> list[Kept]:
    """How much is kept of each sequence: as much as the items want that read it."""
    most = dict.fromkeys(sequences, Kept.LOG_PROBS)
    for item in items:
        wanted = QUANTITIES[item.quantity]
        for row in asked.sequences[item.split]:
            for one in (one for role in wanted.roles for one in row[role]):
                most[one] = max(most[one], wanted.kept)
    return [most[one] for one in sequences]


def _to_score(asked: Measuring) -> list[Scored]:
    """What the forward pass reads: no sequence of a split that only gradients are made of."""
    splits = {item.split for item in asked.made("tokens")}
    return once({split: rows for split, rows in asked.sequences.items() if split in splits})


def _of_item(item: Item, asked: Measuring, known: Mapping[Scored, Seen]) -> Values:
    define, options, ids = QUANTITIES[item.quantity].of, asked.options, asked.ids(item)
    if define is None:
        raise RuntimeError(f"{item.quantity} is not made of tokens")
    left_out = asked.prefix.rows if len(ids) < len(asked.sets.rows[item.split]) and asked.prefix else frozenset()
    rows = [row for number, row in enumerate(asked.sequences[item.split]) if number not in left_out]
    return Values(ids, tuple(define(seen(row, known.__getitem__), options, item.split) for row in rows))


def _check_room(model: Any, sequences: Sequence[Scored]) -> None:
    """What is longer than a model's positions would end in an error of its own, much later."""
    most = getattr(model.config, "max_position_embeddings", None)
    longest = max((len(one.ids) for one in sequences), default=0)
    if most is not None and longest > most:
        raise JobError(f"a sequence has {longest} tokens, the model takes {most}; lower max_length, or recall's prefix_tokens")


def from_gradients(model: Model, asked: Measuring, progress: Progress) -> dict[Item, Values]:
    """The items that are made of gradients, a row at a time."""
    found: dict[Item, Values] = {}
    done = 0
    for item in asked.made("gradients"):
        numbers = []
        for row in asked.sequences[item.split]:
            one = row["answer"][0]
            numbers.append(gradient_norm(model.model, one, counted_labels(one, asked.options), asked.options.gradient_norm))
            progress(done := done + 1)
        found[item] = Values(asked.ids(item), tuple(numbers))
    return found


def prompts_of(encoder: Encoder, sets: Sets, split: str) -> list[str]:
    """The texts that a split's answers follow, and for plain texts, the texts themselves."""
    if split == VERBMEM or "text" in sets.rows[split][0]:
        return [str(row.get("text", row.get("prompt"))) for row in sets.rows[split]]
    return [encoder.asked(row["prompt"], _shown(sets, split)) for row in sets.rows[split]]


def _shown(sets: Sets, split: str) -> Sequence[Mapping[str, str]]:
    return sets.examples(split) if ANSWERED.get(split) == "knowmem" else ()


def answers_of(model: Model, asked: Measuring, progress: Progress) -> dict[str, list[str]]:
    """The greedy answer to every row of the splits that need them; those that are made alike share batches, by length."""
    items = {item.split: item for item in asked.made("answers", "fluency")}
    kinds = sorted({ANSWERED[split] for split in items})
    found: dict[str, list[str]] = {}
    for kind in kinds:
        splits = [split for split in sorted(items) if ANSWERED[split] == kind]
        how, before = generation_of(items[splits[0]], asked.config), sum(map(len, found.values()))
        found |= _generate(model, asked, splits, how, _behind(progress, before))
    return found


def _behind(progress: Progress, before: int) -> Progress:
    return lambda done: progress(before + done)


def _generate(
    model: Model, asked: Measuring, splits: Sequence[str], how: Mapping[str, Any], progress: Progress
) -> dict[str, list[str]]:
    encoder = model.encoder
    prompts = {split: [encoder.tokens(text) for text in prompts_of(encoder, asked.sets, split)] for split in splits}
    flat = [tokens for split in splits for tokens in prompts[split]]
    decoding = Decoding(how["max_new_tokens"], batch=model.batch)
    made = iter(sample_tokens(model.model, encoder.tokenizer, flat, [0] * len(flat), decoding, progress))
    return {split: [_text(encoder, next(made), how["stop"]) for _ in prompts[split]] for split in splits}


def _text(encoder: Encoder, tokens: Sequence[int], stops: Sequence[str]) -> str:
    return cut(encoder.tokenizer.decode(tokens, skip_special_tokens=True), stops)


def from_answers(asked: Measuring, answers: Answers, classifier: Classifier | None) -> dict[Item, Values]:
    """The items that are made of generated answers."""
    found = {}
    for item in asked.made("answers"):
        pairs = zip(asked.sets.rows[item.split], answers[item.split], strict=True)
        numbers = tuple(rouge(row["answer"], answer, asked.options.rouge) for row, answer in pairs)
        found[item] = Values(asked.ids(item), numbers)
    for item in asked.made("fluency"):
        if classifier is None:
            raise RuntimeError("a classifier was to be loaded")
        found[item] = Values(asked.ids(item), tuple(classifier(answers[item.split])))
    return found


def pick_device(name: str) -> torch.device:
    """The device that a job's execution names. Raises JobError where it is not there."""
    if name != "cpu" and not torch.cuda.is_available():
        raise JobError(f"device {name}: this machine has no GPU; run it where there is one, or set device: cpu")
    return torch.device(name)
