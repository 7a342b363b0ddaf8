"""What was compiled is remembered: to compile again, with nothing changed, does not compile, and shows in the time alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import compiler.pipeline
from tests.compiler.project import Project


class Compiling(Exception):
    """Raised in place of compiling."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def idle(cache: Path, compiled: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A compiled project where compiling is refused from now on."""

    def refuse(*arguments: object, **more: object) -> None:
        raise Compiling

    monkeypatch.setattr(compiler.pipeline, "compile_study", refuse)
    return compiled


def compiles(project: Project, *arguments: str) -> bool:
    """Whether a command goes as far as compiling."""
    result = project.lethe(*arguments)
    return "Compiling" in result.err


def test_the_second_time_it_says_the_same_without_compiling(cache: Path, project: Project) -> None:
    first, again = (project.lethe("compile", "specs/toy.yaml") for _ in range(2))
    shutil.rmtree(cache)
    anew = project.lethe("compile", "specs/toy.yaml")
    assert again == anew and again.out == first.out.replace("written.", "unchanged.")


@pytest.mark.parametrize("arguments", [(), ("--json",), ("--markdown",), ("--summary",), ("--exit-code",)])
def test_no_difference_is_told_the_same_way(arguments: tuple[str, ...], cache: Path, compiled: Project) -> None:
    remembered = compiled.lethe("diff", "specs/toy.yaml", *arguments)
    shutil.rmtree(cache)
    assert compiled.lethe("diff", "specs/toy.yaml", *arguments) == remembered


@pytest.mark.parametrize("verb", ["compile", "diff"])
def test_nothing_is_compiled_when_nothing_changed(verb: str, idle: Project) -> None:
    assert not compiles(idle, verb, "specs/toy.yaml")


@pytest.mark.parametrize(
    "file",
    ["toy.yaml", "catalog/subjects.yaml", "catalog/one_more.yaml", "catalog/more/one.yaml", "toy.lock", "toy.selection.yaml"],
)
@pytest.mark.parametrize("verb", ["compile", "diff"])
def test_a_change_of_any_file_that_is_read_is_seen(verb: str, file: str, idle: Project) -> None:
    path = idle.root / "specs" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + "\n")
    assert compiles(idle, verb, "specs/toy.yaml")


@pytest.mark.parametrize("file", ["toy/plan.json", "toy/manifest.sha256", "toy/one_more", "submit_all.sh"])
def test_a_change_of_any_file_that_was_written_is_seen(file: str, idle: Project) -> None:
    path = idle.generated / file
    path.write_text((path.read_text() if path.exists() else "") + "\n")
    assert compiles(idle, "compile", "specs/toy.yaml")


def test_a_file_that_is_lost_is_seen(idle: Project) -> None:
    (idle.tree / "PLAN.md").unlink()
    assert compiles(idle, "compile", "specs/toy.yaml")


def test_locks_are_held_anew(idle: Project) -> None:
    assert compiles(idle, "compile", "--locked", "specs/toy.yaml")


def test_another_folder_is_not_taken_for_this_one(idle: Project, tmp_path: Path) -> None:
    shutil.copytree(idle.root / "specs", tmp_path / "other" / "specs")
    assert compiles(Project(tmp_path / "other"), "compile", "specs/toy.yaml")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"inputs": 1}', "\0"])
def test_a_cache_that_is_damaged_is_none(content: str, cache: Path, idle: Project) -> None:
    (found,) = (cache / "lethe").iterdir()
    found.write_text(content)
    assert compiles(idle, "compile", "specs/toy.yaml")


def test_without_a_cache_it_compiles_as_well(project: Project, cache: Path) -> None:
    cache.write_text("a file")
    assert [project.lethe("compile", "specs/toy.yaml").code for _ in range(2)] == [0, 0]


def test_what_is_shared_with_other_studies_is_told_of_those_that_are_there_now(project: Project, cache: Path) -> None:
    project.compile()
    twin = (project.root / "specs" / "twin.yaml").write_text(project.spec.read_text().replace("study: toy", "study: twin"))
    assert twin and project.lethe("compile", "specs/twin.yaml").code == 0
    again = project.lethe("compile", "--json", "specs/toy.yaml")
    assert [one["study"] for one in json.loads(again.out)["shared_with"]] == ["twin"]
    shutil.rmtree(cache)
    assert project.lethe("compile", "--json", "specs/toy.yaml") == again
