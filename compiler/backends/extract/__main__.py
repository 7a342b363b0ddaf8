"""`python -m compiler.backends.extract [BACKEND...] [--wheel FILE...] [--check]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compiler.backends.extract.recipe import extracted, listed
from compiler.backends.folders import TEMPLATES
from compiler.backends.options import OPTIONS
from compiler.diagnostics import LetheError

ABOUT = "write the options of the backends' packages into templates/backends/*/options/"
CHANGED = 2  # exit code of --check where a file is not what the packages say
RECIPE = "options.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Extract, or with --check compare. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m compiler.backends.extract", description=ABOUT)
    parser.add_argument("backend", nargs="*", help="a backend, or the folder of one; default: all that have options.yaml")
    parser.add_argument("--wheel", action="append", default=[], type=Path, metavar="FILE", help="read a package from its wheel")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 2 where a file would change")
    options = parser.parse_args(arguments)
    shipped = [file.parent for file in sorted(TEMPLATES.glob(f"backends/*/{RECIPE}"))]
    folders = [_folder(name) for name in options.backend] or shipped
    try:
        texts = {file: text for folder in folders for file, text in _texts(folder, options.wheel).items()}
    except LetheError as error:
        print(error, file=sys.stderr)
        return 1
    changed = [file for file, text in texts.items() if not file.is_file() or file.read_text(encoding="utf-8") != text]
    for file in changed:
        if not options.check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(texts[file], encoding="utf-8")
        print(f"{file}: {'differs' if options.check else 'written'}")
    return CHANGED if options.check and changed else 0


def _folder(name: str) -> Path:
    return Path(name) if (Path(name) / RECIPE).is_file() else TEMPLATES / "backends" / name


def _texts(folder: Path, wheels: Sequence[Path]) -> dict[Path, str]:
    """The files of one backend's options."""
    found = extracted(folder / RECIPE, wheels)
    names = listed(folder / RECIPE, wheels)
    return {
        **{folder / OPTIONS / f"{what}.json": written(schema) + "\n" for what, schema in found.items()},
        **{folder / OPTIONS / f"{name}.txt": "\n".join([*one, ""]) for name, one in names.items()},
    }


def written(schema: Mapping[str, Any], depth: int = 0) -> str:
    """JSON with a line for each option, in the order in which they are."""
    if "properties" not in schema:
        return json.dumps(schema, ensure_ascii=False)
    pad = " " * (depth + 1)
    said = {key: value for key, value in schema.items() if key != "properties"}
    rest = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in said.items()]
    inner = [f"{pad}{json.dumps(key)}: {written(value, depth + 1)}" for key, value in schema["properties"].items()]
    return "{" + ", ".join(rest) + ', "properties": {\n' + ",\n".join(inner) + "}}"


if __name__ == "__main__":
    sys.exit(main())
