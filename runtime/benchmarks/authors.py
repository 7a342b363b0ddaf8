"""Made-up authors in TOFU's form, made from a seed: the offline benchmark. See runtime/domains/authors.py for the world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.benchmarks.sets import Sets, check_count, content_id, question
from runtime.domains.authors import Item, World, lessons, make_world, part_of

PRETRAIN = "pretrain"
WORDINGS = ("question", "paraphrased_question")


def make_sets(config: Mapping[str, Any]) -> Sets:
    """The rows of a split, those to retain, and the sets that metrics want. For `pretrain`: what a start model learns first."""
    sizes = (config[name] for name in ("authors", "holdout_authors", "real_authors", "wrong", "seed"))
    world, split = make_world(*sizes), config["split"]
    train = _lessons(world) if split == PRETRAIN else _questions(part_of(world.authors, split))
    check_count(f"{split} of {config['authors']} authors", train, "train", config["train"])
    retain = None if config["retain"] is None else part_of(world.authors, config["retain"])
    wording = WORDINGS.index(config["question"])
    groups = {
        "forget": [] if split == PRETRAIN else part_of(world.authors, split),
        "retain": retain or [],
        "holdout": world.holdout,
        "real_authors": world.real_authors,
        "world_facts": world.world_facts,
    }
    evaluation = {name: [_evaluated(item, name, wording) for item in groups[name]] for name in config["evaluation"]}
    return Sets(train, None if retain is None else _questions(retain), evaluation)


def _lessons(world: World) -> list[dict[str, Any]]:
    """What pre-training reads; it draws rare rows less often."""
    return [{**question(lesson.prompt, lesson.answer), "rare": lesson.rare} for lesson in lessons(world)]


def _questions(items: Sequence[Item]) -> list[dict[str, Any]]:
    """What is trained on: each question in its first wording, with the first form of its answer."""
    return [question(item.questions[0], item.answers[0]) for item in items]


def _evaluated(item: Item, name: str, wording: int) -> dict[str, Any]:
    """A row of an evaluation set.

    As in TOFU, wrong answers have the form of the re-worded answer where there is one; of controls there is none.
    """
    row = {
        "id": content_id(item.questions[0], item.answers[0]),
        "prompt": item.questions[wording],
        "answer": item.answers[0],
    }
    if name == "holdout":
        return row
    reworded = name in ("forget", "retain")
    return {**row, "paraphrased": item.answers[1] if reworded else None, "perturbed": list(item.wrong[int(reworded)])}
