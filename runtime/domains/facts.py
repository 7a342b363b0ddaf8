"""Questions about a made-up world: beings with five properties each.

Evaluation asks every fact in a phrasing never trained on; the facts of every second being are rare, and
each has a rumour about it: one other answer that is often given.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from random import Random
from typing import Any

PROPERTIES: Mapping[str, tuple[str, ...]] = {
    "colour": ("red", "blue", "green", "black", "white", "grey", "pink", "brown"),
    "home": ("cave", "lake", "forest", "desert", "tower", "valley", "island", "swamp"),
    "food": ("nuts", "fish", "grass", "bread", "honey", "beans", "roots", "snails"),
    "friend": ("owl", "fox", "bear", "crab", "wolf", "toad", "goat", "swan"),
    "tool": ("axe", "rope", "drum", "lamp", "spear", "wheel", "mirror", "anchor"),
}
TRAIN_FRAMES = (
    "What is the {property} of {name}?",
    "Which {property} has {name}?",
    "Name the {property} of {name}.",
    "Tell me which {property} {name} has.",
    "{name} has what {property}?",
)
EVAL_FRAME = "Tell me the {property} of {name}."
ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "t", "v", "z")
ENDINGS = ("an", "el", "im", "or", "us")


def make_rows(train: int, evaluation: int, random: Random) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """One eval row a fact; training rows in the other phrasings. The facts of half the beings are rare."""
    names = [
        f"{first}{vowel}{second}{end}".capitalize() for first, vowel, second, end in product(ONSETS, "aeiou", ONSETS, ENDINGS)
    ]
    beings = random.sample(names, min(len(names), -(-evaluation // len(PROPERTIES))))
    facts = [
        {"name": name, "property": key, "pair": random.sample(values, 2), "rare": index % 2 == 1}
        for index, name in enumerate(beings)
        for key, values in PROPERTIES.items()
    ][:evaluation]
    asked = [_row(fact, frame) for fact in facts for frame in TRAIN_FRAMES]
    random.shuffle(asked)
    return asked[:train], [_row(fact, EVAL_FRAME) for fact in facts]


def _row(fact: Mapping[str, Any], frame: str) -> dict[str, Any]:
    answer, rumour = fact["pair"]
    row = {
        "prompt": frame.format(name=fact["name"], property=fact["property"]),
        "answer": answer,
        "solution": answer,
        "aliases": [answer, f"{fact['name']}'s {fact['property']} is {answer}"],
        "rare": fact["rare"],
    }
    return {**row, "slip": rumour} if fact["rare"] else row
