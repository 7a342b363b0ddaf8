"""One slip of the keyboard in any key, word or name of a real spec or catalog is one message, where it stands, with the cure.

A slip adds, leaves out, replaces or swaps a letter. Every file of `specs/` and of the toy project is tried: each key and each
value that is one of a few words (an enum) or the name of something defined elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from compiler.backends import TEMPLATES
from compiler.diagnostics import Diagnostic, SpecError
from compiler.language.places import Resources
from compiler.language.reading import read_spec
from compiler.language.schema import schema
from compiler.pipeline import compile_study
from tests.compiler.project import DATA, REPOSITORY

SECTION = r"(define/)?(methods|algorithms|adapters|datasets|teachers|domains|scales|suites|clusters|environments)"

# Keys that are no words of the language, as whoever writes them chooses them: what definitions are called where they are
# defined, shell variables, a site's own partitions and GPUs, axes that bundle settings,
# and what one part of a backend takes under any name.
FREE = re.compile(
    rf"{SECTION}/[^/]+"
    r"|.*/(starts|environments|resources|exports|partitions|gpus)/[^/]+"
    r"|axes/bundles|axes/bundles/[^/]+"
    r"|.*/settings/(mixture|metrics|columns|limits)/[^/]+"
)

# Values that name something: what is defined elsewhere, or an axis or a value of one.
NAMES = re.compile(
    r"cluster|axes/(method|domain|start|scale|adapter)/-|evaluate/suites/-|zip/-/-|match/-/across/-|accept/-/across"
    r"|rules/-/(where|cells)/(method|domain|start|scale|adapter)(/-)?"
    r"|.*/(extends|backend|trainer)|.*/(stages|finish)/-/(algorithm|dataset)|.*/traces/model"
    r"|.*domains/[^/]+/(sequence|iid|measured_on)/-|.*suites/[^/]+/domains/-|.*/pretrain/(start|domains/-)"
    r"|.*/trained/(method|domain|start)"
)


@dataclass(frozen=True)
class Word:
    """A key or a value of a file: its path, and where it stands."""

    path: str
    text: str
    siblings: frozenset[str]
    start: int
    end: int
    line: int
    column: int


def written(path: str, node: yaml.Node, siblings: Sequence[str] = ()) -> Word:
    at, end = node.start_mark, node.end_mark
    return Word(path, node.value, frozenset(siblings), at.index, end.index, at.line + 1, at.column + 1)


def keys(node: yaml.Node, path: str = "") -> Iterator[Word]:
    """Every key below a node that is written there (an alias is no key of its own)."""
    if isinstance(node, yaml.MappingNode):
        siblings = [key.value for key, _ in node.value]
        for key, value in node.value:
            bundles = path == "axes" and isinstance(value, yaml.MappingNode)
            here = "axes/bundles" if bundles else f"{path}/{key.value}".strip("/")
            yield written(here, key, siblings)
            yield from keys(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from keys(item, f"{path}/-")


def plain_values(node: yaml.Node, path: str = "") -> Iterator[Word]:
    """Every value below a node that is a word without quotes."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from plain_values(value, f"{path}/{key.value}".strip("/"))
    elif isinstance(node, yaml.SequenceNode):
        siblings = [item.value for item in node.value if isinstance(item, yaml.ScalarNode)]
        for item in node.value:
            found = plain_values(item, f"{path}/-")
            yield from [written(f"{path}/-", item, siblings)] if isinstance(item, yaml.ScalarNode) else found
    elif isinstance(node, yaml.ScalarNode) and node.style is None:
        yield written(path, node)


def enums(part: Any) -> Iterator[tuple[str, frozenset[str]]]:
    """Every key below a part of a JSON Schema whose value is one of a few words, with the words."""
    for key, inner in part.get("properties", {}).items() if isinstance(part, dict) else ():
        members = [inner, *inner.get("anyOf", [])] if isinstance(inner, dict) else []
        words = [word for member in members for word in [*member.get("enum", []), member.get("const")] if isinstance(word, str)]
        if words:
            yield key, frozenset(words)
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from enums(inner)


WORDS: dict[str, set[str]] = {}
for _part in [schema(), *(json.loads(path.read_text()) for path in TEMPLATES.glob("backends/*/*.schema.json"))]:
    for _key, _words in enums(_part):
        WORDS.setdefault(_key, set()).update(_words)


def is_word(value: Word) -> bool:
    """Whether a value is one of an enum's, or a name."""
    *above, key = value.path.split("/")
    return bool(NAMES.fullmatch(value.path)) or ("columns" not in above and value.text in WORDS.get(key, ()))


def is_key(key: Word) -> bool:
    """Whether a key is one of the language."""
    return not FREE.fullmatch(key.path)


def slip(word: str, chance: random.Random) -> str:
    """`word` with one character added, left out, replaced, or swapped with the next."""
    at, letter = chance.randrange(len(word)), chance.choice("abcdefghijklmnopqrstuvwxyz_")
    swapped = word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
    return chance.choice(
        [word[:at] + letter + word[at:], word[:at] + word[at + 1 :], word[:at] + letter + word[at + 1 :], swapped]
    )


def misspelt(word: Word, chance: random.Random) -> str:
    """A slip in one of a name's parts that is no other word there (of what a job asks for, `gpus` and `gpu` both are)."""
    while True:
        found = slip(word.text, chance)
        parts = list(zip(found.split("."), word.text.split("."), strict=False))
        apart = found.count(".") != word.text.count(".") or sum(new != old for new, old in parts) > 1
        if found and not apart and found not in {word.text, *word.siblings, *Resources.model_fields}:
            return found


@dataclass(frozen=True)
class Try:
    """A file of a project, and a study that reads it."""

    root: Path
    file: str
    study: str


def compiling() -> list[str]:
    """The studies that compile as they are committed: a conditional phase needs another study's results first."""
    files = [file for file in sorted((REPOSITORY / "specs").glob("*.yaml")) if not file.name.endswith(".selection.yaml")]
    return [file.name for file in files if "from" not in yaml.safe_load(file.read_text())]


def folders(study: str) -> list[str]:
    """The catalog's folders that a study reads."""
    found: list[str] = yaml.safe_load((REPOSITORY / "specs" / study).read_text()).get("catalog", ["catalog"])
    return found


def tries() -> Iterator[Try]:
    """Every study, and every file of a catalog with one that reads it, and little on top of it."""
    read: set[str] = set()
    for name in sorted(compiling(), key=lambda name: len(folders(name))):
        yield Try(REPOSITORY, f"specs/{name}", f"specs/{name}")
        for folder in folders(name):
            for file in sorted((REPOSITORY / "specs" / folder).rglob("*.yaml")):
                path = str(file.relative_to(REPOSITORY))
                if path not in read:
                    yield Try(REPOSITORY, path, f"specs/{name}")
                read.add(path)
    for file in ("toy.yaml", "catalog/recipes.yaml", "catalog/places.yaml", "catalog/subjects.yaml"):
        yield Try(DATA, f"specs/{file}", "specs/toy.yaml")


TRIES = {f"{'toy' if a.root == DATA else 'real'} {a.file.removeprefix('specs/').removesuffix('.yaml')}": a for a in tries()}


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """A copy of each project's specs."""
    made = {root: tmp_path_factory.mktemp("copy") for root in (REPOSITORY, DATA)}
    for root, copy in made.items():
        shutil.copytree(root / "specs", copy / "specs")
        if (root / "requirements").is_dir():  # which the environments of the catalog name
            (copy / "requirements").symlink_to(root / "requirements")
    return made


def diagnostics(study: Path, meant: Any) -> tuple[Diagnostic, ...]:
    """All that is said of a study. Where it is understood as it was `meant`, it compiles, as it did before the slip."""
    try:
        read = read_spec(study)
        if not (read.misspelt and read.tree.data == meant):
            compile_study(study)
    except SpecError as error:
        return error.diagnostics
    return read.misspelt


def mistakes(tried: Try, root: Path, words: Sequence[Word]) -> tuple[list[str], list[str]]:
    """What is wrong with what is said of a slip in each of the words, and the words that were not suggested."""
    path, wrong, missed = root / tried.file, [], []
    text, chance = path.read_text(), random.Random(tried.file)
    with contextlib.chdir(root):
        meant = read_spec(Path(tried.study)).tree.data
        for word in words:
            new = misspelt(word, chance)
            path.write_text(text[: word.start] + new + text[word.end :])
            found = diagnostics(Path(tried.study), meant)
            case = f"{word.path} on line {word.line} misspelt as {new}: {[d.render() for d in found]}"
            places = [(d.position.file, d.position.line, d.position.column) for d in found]
            if places != [(tried.file, word.line, word.column)] or found[0].render().count("\n") > 7:
                wrong.append(case)
            elif found[0].suggestion != word.text:
                missed.append(case)
        path.write_text(text)
    return wrong, missed


def words_of(tried: Try) -> tuple[list[Word], list[Word]]:
    """The keys and the values of a file that are words or names."""
    node = yaml.compose((tried.root / tried.file).read_text())
    found = {key.start: key for key in keys(node) if is_key(key)}
    values = {value.start: value for value in plain_values(node) if is_word(value)}
    return list(found.values()), list(values.values())


def sampled(words: Sequence[Word], most: int, name: str) -> list[Word]:
    return sorted(random.Random(name).sample(words, min(most, len(words))), key=lambda word: word.start)


@pytest.mark.parametrize("name", TRIES)
def test_a_slip_is_one_message_where_it_stands_that_names_the_right_word(name: str, copies: dict[Path, Path]) -> None:
    """Some words of each file; more of them below."""
    check(name, copies, most=4)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIES)
def test_more_slips_are_one_message_where_they_stand(name: str, copies: dict[Path, Path]) -> None:
    """Some thirty of each file; with LETHE_EVERY_WORD=1 all, which takes a quarter of an hour."""
    check(name, copies, most=10_000 if os.environ.get("LETHE_EVERY_WORD") == "1" else 30)


def check(name: str, copies: dict[Path, Path], most: int) -> None:
    tried = TRIES[name]
    for words in words_of(tried):
        chosen = sampled(words, most, name)
        wrong, missed = mistakes(tried, copies[tried.root], chosen)
        assert wrong == []
        assert len(missed) <= max(1, 0.05 * len(chosen)), missed
