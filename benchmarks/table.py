"""Makes the input of benchmarks/floor.py from a compiled folder: the forms that its files have, and the values in them.

    python benchmarks/table.py FOLDER TABLE

Files of one folder and ending with as many lines have one form: what a line begins with in all of them is the form's, and the
rest of it a value. Of plan.json every job and every cell is such a text of its own.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

Key = tuple[str, str, int]
Frame = tuple[str, bool]
SUMS = "manifest.sha256"


def main() -> None:
    folder, table = Path(sys.argv[1]), Path(sys.argv[2])
    frames: dict[Key, list[Frame]] = {}
    for name in names(folder):
        for key, lines in parts(folder, name):
            known = frames.get(key)
            frames[key] = [(line, True) for line in lines] if known is None else [*map(common, known, lines)]
    number = {key: place for place, key in enumerate(frames)}
    with table.open("w", encoding="utf-8") as file:
        print(json.dumps([form(frame) for frame in frames.values()]), file=file)
        for name in names(folder):
            found = [[number[key], values(frames[key], lines)] for key, lines in parts(folder, name)]
            print(json.dumps([name, *found]), file=file)


def names(folder: Path) -> list[str]:
    """The files, in the order of their manifest.sha256."""
    return [line[66:] for line in (folder / SUMS).read_text().splitlines()]


def parts(folder: Path, name: str) -> Iterator[tuple[Key, list[str]]]:
    """The texts that a file is made of, each with what tells its form."""
    whole = (folder / name).read_text(encoding="utf-8")
    for text in re.split(r"(?<=\n)(?=  \{\n)", whole) if name == "plan.json" else [whole]:
        lines = text.split("\n")
        yield (os.path.dirname(name), name.rpartition(".")[2], len(lines)), lines


def common(frame: Frame, line: str) -> Frame:
    """What a line begins with in all files of a form, and whether it is that alone, with one more file."""
    begin, constant = frame
    return (begin, True) if constant and begin == line else (os.path.commonprefix([begin, line]), False)


def form(frames: list[Frame]) -> str:
    return "\n".join(begin.replace("%", "%%") + ("" if constant else "%s") for begin, constant in frames)


def values(frames: list[Frame], lines: list[str]) -> list[str]:
    return [line[len(begin) :] for (begin, constant), line in zip(frames, lines, strict=True) if not constant]


if __name__ == "__main__":
    main()
