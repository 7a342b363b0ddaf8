"""Names that a package finds in its own data files, as lm-eval finds its tasks: read line by line, for the files hold tags of
Python objects that no YAML parser here knows."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

from compiler.backends.extract.wheels import Package
from compiler.language.validation import Strict

_INCLUDED = re.compile(r"^include:\s*[\"']?([^\s\"']+)", re.MULTILINE)


class NamesRecipe(Strict):
    """Which files give names, and under which keys: `task: piqa`, `tag: [math, hard]`, or a list below `listed` keys."""

    files: list[str]
    keys: list[str]
    listed: list[str]


def names_in(package: Package, recipe: NamesRecipe) -> list[str]:
    """All names in the package's files and in those that these include, sorted."""
    found, waiting, read = set[str](), package.matching(recipe.files), set[str]()
    while waiting:
        file = waiting.pop()
        read.add(file)
        text = package.read(file)
        found.update(_names(text, recipe))
        included = (posixpath.normpath(f"{posixpath.dirname(file)}/{name}") for name in _INCLUDED.findall(text))
        waiting += [other for other in dict.fromkeys(included) if other in package.known and other not in read]
    return sorted(found)


def _names(text: str, recipe: NamesRecipe) -> Iterator[str]:
    key = re.compile(rf"[\"']?({'|'.join(recipe.keys)})[\"']?\s*:\s*(.*?),?\s*(?:\s#.*)?$")
    listing = False
    for line in text.splitlines():
        said, item = key.match(line), re.match(r"\s*- +(.+?)\s*(?:\s#.*)?$", line)
        if said:
            listing = not said[2] and said[1] in recipe.listed
            yield from _plain(said[2].strip("[]").split(",") if said[2].startswith("[") else [said[2]])
        elif item and listing:
            yield from _plain([item[1]])
        else:
            listing = listing and not line.strip()


def _plain(words: Iterable[str]) -> Iterator[str]:
    """The words without quotes, and without what is no name: a mapping, a tag."""
    for word in words:
        name = word.strip().strip("\"'")
        if name != "null" and name and not re.search(r"[\s{}:!]", name):
            yield name
