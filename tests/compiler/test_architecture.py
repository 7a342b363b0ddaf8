"""A compiler, and a runtime that never meets it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.compiler.project import REPOSITORY, Project

HEAVY = {"torch", "transformers", "ray", "numpy", "trl", "datasets", "accelerate", "peft", "vllm", "verl", "runtime"}
LATE = {"pydantic", "jinja2", "networkx", "yaml", "jsonschema"}
SEEN = "import sys; from compiler.cli import main\ntry: main({arguments!r})\nexcept SystemExit: pass\nprint('|', *sys.modules)"


def modules_after(project: Project, *arguments: str) -> set[str]:
    """The top-level modules that are loaded once `lethe` has run."""
    result = project.shell(sys.executable, "-c", SEEN.format(arguments=list(arguments)))
    assert "|" in result.out, result.err
    return {name.partition(".")[0] for name in result.out.rpartition("|")[2].split()}


@pytest.mark.parametrize("verb", ["compile", "validate", "diff"])
def test_compiling_loads_no_machine_learning(verb: str, project: Project) -> None:
    assert not modules_after(project, verb, "specs/toy.yaml") & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["compile", "--help"], ["bake"]])
def test_help_loads_nothing_that_takes_time(arguments: list[str], project: Project) -> None:
    assert not modules_after(project, *arguments) & (HEAVY | LATE)


def imported(file: Path) -> set[str]:
    """The top-level names of the modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." if node.level else str(node.module).partition(".")[0])
    return found


@pytest.mark.parametrize(("part", "forbidden"), [("compiler", HEAVY), ("runtime", {"compiler"})])
def test_neither_part_imports_the_other(part: str, forbidden: set[str]) -> None:
    files = sorted((REPOSITORY / part).rglob("*.py"))
    assert len(files) > 10
    assert {file.name: imported(file) & forbidden for file in files if imported(file) & forbidden} == {}


def test_every_room_of_the_compiler_says_what_it_is_for() -> None:
    for file in (REPOSITORY / "compiler").rglob("*.py"):
        assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))), file


def test_functions_of_the_compiler_are_short() -> None:
    for file in (REPOSITORY / "compiler").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 40, f"{file.name}: {node.name}"
