"""The rooms of the runtime: the map in docs/design.md has them all, and imports go down it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from tests.tree import REPOSITORY

RUNTIME = REPOSITORY / "runtime"
FILES = [file for file in RUNTIME.rglob("*.*") if file.is_file() and "__pycache__" not in file.parts]
ROOMS = Counter(file.relative_to(RUNTIME).parts[0] for file in FILES if file.parent != RUNTIME and file.stem != "__init__")


def floors() -> dict[str, int]:
    """The line of the map that each room stands on, from the top."""
    text = (REPOSITORY / "docs/design.md").read_text(encoding="utf-8")
    lines = re.search(r"^\| rooms \|.*\n\|---.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert lines
    first = [line.split("|")[1] for line in lines[1].splitlines()]
    return {room: floor for floor, cell in enumerate(first) for room in re.findall(r"`(\w+)`", cell)}


def imported(file: Path) -> set[str]:
    """The rooms that a module imports from, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in found if name.startswith("runtime.")} & ROOMS.keys()


def test_every_room_is_on_the_map() -> None:
    assert floors().keys() == ROOMS.keys()


def test_a_room_imports_only_rooms_below_it() -> None:
    floor = floors()
    edges = {(room, other) for room in ROOMS for file in (RUNTIME / room).rglob("*.py") for other in imported(file) - {room}}
    assert len(edges) > len(ROOMS)
    assert {edge for edge in edges if floor[edge[1]] <= floor[edge[0]]} == set()


def test_every_room_says_what_it_is_for_and_holds_more_than_one_thing() -> None:
    assert {room for room, files in ROOMS.items() if files == 1} == set()
    for file in RUNTIME.rglob("*.py"):
        assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))), file
