"""docs/language.md: every example on the page compiles to what the page says, word for word.

A yaml block with `study:` is a study of its own, one that begins with `# specs/...` is that file, any other is laid on the
page's first study as one definition is on another. What follows a study is checked on it: `→ 4 cells, 17 jobs`, a text block
(what `lethe validate` says on standard error), a console block (commands and what they print). To write all of that again:
LETHE_GOLDEN=write python -m pytest tests/compiler/test_language_page.py
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from compiler.language import definitions, study
from compiler.language.source import merged, read_tree
from compiler.language.validation import Strict
from compiler.text import yaml_block
from tests.compiler.project import REPOSITORY, Project, Result

PAGE = REPOSITORY / "docs" / "language.md"
PART = re.compile(r"^```(?P<kind>yaml|text|console)\n(?P<block>.*?)^```$|^(?P<claim>→ [^\n]*)$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (specs/\S+)\n")
STUDY = re.compile(r"^study: (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """A fenced block or a claim of the page; `kind` of a yaml block is `file` or `example`."""

    number: int
    line: int
    kind: str
    text: str


@dataclass(frozen=True)
class Example:
    """A study on the page, with the files that stand above it and what is said of it below."""

    part: Part
    files: tuple[Part, ...]
    said: tuple[Part, ...]


def parts(page: str) -> Iterator[Part]:
    for number, found in enumerate(PART.finditer(page)):
        kind, text = found["kind"] or "claim", found["claim"] or found["block"]
        if kind == "yaml":
            kind = "file" if FILE.match(text) else "example"
        yield Part(number, page.count("\n", 0, found.start()) + 1, kind, text)


def examples(found: Sequence[Part]) -> list[Example]:
    """The examples in the page's order; a file that follows one is written before what is said of it further down."""
    places = [i for i, part in enumerate(found) if part.kind == "example"]
    ends = [*places[1:], len(found)]
    files = [tuple(part for part in found[:i] if part.kind == "file") for i in places]
    return [Example(found[i], above, tuple(found[i + 1 : end])) for i, end, above in zip(places, ends, files, strict=True)]


EXAMPLES = examples(list(parts(PAGE.read_text(encoding="utf-8"))))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty folder of specs beside the repository's catalogs."""
    (tmp_path / "specs").mkdir()
    for folder in (path for path in (REPOSITORY / "specs").iterdir() if path.is_dir()):
        (tmp_path / "specs" / folder.name).symlink_to(folder)
    return Project(tmp_path)


def put(project: Project, file: Part) -> None:
    name = FILE.match(file.text)
    assert name is not None
    path = project.root / name[1]
    path.parent.mkdir(exist_ok=True)
    path.write_text(file.text, encoding="utf-8")


def write_spec(project: Project, example: Part) -> str:
    """Write the study that an example means; its path, seen from the project."""
    named = STUDY.search(example.text)
    first = EXAMPLES[0].part.text
    name = f"specs/{(named or STUDY.search(first) or [''])[1]}.yaml"
    path = project.root / name
    path.write_text(example.text if named else laid_on(first, example.text, path.parent), encoding="utf-8")
    return name


def laid_on(base: str, fragment: str, folder: Path) -> str:
    """`fragment` on top of `base`. Where they share no key, at its end, so that lines of messages are those of the two."""
    trees = []
    for number, text in enumerate((base, fragment)):
        path = folder / f"{number}.part"
        path.write_text(text, encoding="utf-8")
        trees.append(read_tree(path))
        path.unlink()
    if not set(trees[0].data) & set(trees[1].data):
        return f"{base}{fragment}"
    return yaml_block(merged(*trees).data)


def outcome(project: Project, spec: str, part: Part) -> str:
    """What is really so, where the page says `part`."""
    if part.kind == "claim":
        done = project.lethe("validate", spec, "--json")
        assert done.code == 0, f"line {part.line}: {done.out}"
        facts = json.loads(done.out)
        return f"→ {counted(facts['cells'], 'cell')}, {counted(facts['jobs'], 'job')}"
    if part.kind == "text":
        return project.lethe("validate", spec).err
    commands = [line for line in part.text.splitlines() if line.startswith("$ lethe ")]
    return "".join(f"{command}\n{printed(project.lethe(*command.split()[2:]))}" for command in commands)


def counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def printed(result: Result) -> str:
    return "".join(f"{line.rstrip()}\n" for line in (result.out + result.err).splitlines())


def write_again(part: Part, text: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    found = list(PART.finditer(page))[part.number]
    start, end = found.span("claim" if part.kind == "claim" else "block")
    PAGE.write_text(page[:start] + text + page[end:], encoding="utf-8")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"line{example.part.line}")
def test_an_example_is_what_the_page_says(project: Project, example: Example) -> None:
    assert any(part.kind != "file" for part in example.said), f"nothing is said of the example in line {example.part.line}"
    for file in example.files:
        put(project, file)
    spec = write_spec(project, example.part)
    for part in example.said:
        if part.kind == "file":
            put(project, part)
            continue
        found = outcome(project, spec, part)
        if os.environ.get("LETHE_GOLDEN") == "write":
            write_again(part, found)
        else:
            assert found == part.text, f"docs/language.md:{part.line} (LETHE_GOLDEN=write writes it again)"


def test_the_page_has_no_block_that_nobody_checks() -> None:
    fences = re.findall(r"^```(\w*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    checked = sum(part.kind != "claim" for part in parts(PAGE.read_text(encoding="utf-8")))
    assert len(fences) == 2 * checked
    assert {fence for fence in fences if fence} == {"yaml", "text", "console"}


def models() -> list[type[Strict]]:
    """Every type of the language: a study, what it holds, and what a catalog can define."""
    return [found for module in (study, definitions) for found in vars(module).values() if is_model(found, module.__name__)]


def is_model(found: object, module: str) -> bool:
    return isinstance(found, type) and issubclass(found, Strict) and found.__module__ == module


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_the_page_names_every_key_of_the_language(model: type[Strict]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    keys = [field.alias or name for name, field in model.model_fields.items()]
    assert [key for key in keys if not re.search(rf"\b{key}\b", page)] == []


def test_every_key_of_a_study_stands_in_an_example() -> None:
    shown = "\n".join(part.text for part in parts(PAGE.read_text(encoding="utf-8")) if part.kind == "example")
    keys = [field.alias or name for name, field in study.Study.model_fields.items()]
    assert [key for key in keys if not re.search(rf"^{key}:", shown, re.MULTILINE)] == []
