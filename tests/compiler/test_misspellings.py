"""One slip of the keyboard in any key of a spec or of its catalog is found, where it stands, and the right key is named."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.compiler.project import DATA, Project

FILES = ["toy.yaml", "catalog/recipes.yaml", "catalog/places.yaml", "catalog/subjects.yaml"]

# What people name as they like, what the toy study does not use, and what no toy backend takes.
FREE = re.compile(
    r"(methods|algorithms|datasets|teachers|domains|scales|suites|clusters)\.[^.]+"
    r"|.*\.(environments|resources|exports|starts|mixture)\.[^.]+"
    r"|datasets\.taught\.(settings|traces\.settings)\..*|.*\.prompt\..*"
)


@dataclass(frozen=True)
class Key:
    """A key of a file: its path, with dots, and where it stands."""

    path: str
    word: str
    siblings: frozenset[str]
    start: int
    end: int
    line: int


def keys(node: yaml.Node, path: str = "") -> Iterator[Key]:
    """Every key below a node that is written there (an alias is no key of its own)."""
    if isinstance(node, yaml.MappingNode):
        siblings = frozenset(key.value for key, _ in node.value)
        for key, value in node.value:
            here = f"{path}.{key.value}".strip(".")
            yield Key(here, key.value, siblings, key.start_mark.index, key.end_mark.index, key.start_mark.line + 1)
            yield from keys(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from keys(item, path)


def keys_of(file: str) -> list[Key]:
    found = {key.start: key for key in keys(yaml.compose((DATA / "specs" / file).read_text()))}
    return [key for key in found.values() if not FREE.fullmatch(key.path)]


def slip(word: str, chance: random.Random) -> str:
    """`word` with one character added, left out, replaced, or swapped with the next."""
    at, letter = chance.randrange(len(word)), chance.choice("abcdefghijklmnopqrstuvwxyz_")
    swapped = word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
    return chance.choice(
        [word[:at] + letter + word[at:], word[:at] + word[at + 1 :], word[:at] + letter + word[at + 1 :], swapped]
    )


def misspelt(key: Key, chance: random.Random) -> str:
    """A slip that is no other key, nor the same."""
    while True:
        word = slip(key.word, chance)
        if word and word not in key.siblings and word != key.word:
            return word


@pytest.mark.parametrize("file", FILES)
def test_a_misspelt_key_is_one_message_on_its_line_that_names_the_right_key(file: str, scratch: Project) -> None:
    path: Path = scratch.root / "specs" / file
    text, chance = path.read_text(), random.Random(file)
    found = keys_of(file)
    restored = 0
    for key in found:
        word = misspelt(key, chance)
        path.write_text(text[: key.start] + word + text[key.end :])
        result = scratch.lethe("validate", "specs/toy.yaml", "--json")
        case = f"{key.path} on line {key.line} misspelt as {word}: {result.out}"
        assert result.code == 1, case
        errors = json.loads(result.out)["errors"]
        assert [(e["file"], e["line"]) for e in errors] == [(f"specs/{file}", key.line)], case
        restored += f"'{key.word}'" in errors[0]["hint"]
    assert len(found) >= 20
    assert restored >= 0.9 * len(found)
