"""`lethe schema`: the JSON Schema of a spec, for editors."""

from __future__ import annotations

import argparse

ABOUT = "print the JSON Schema of a spec, for editors"


def arguments(parser: argparse.ArgumentParser) -> None:
    """`lethe schema` can be told nothing; its schema is committed as specs/study.schema.json."""


def run(options: argparse.Namespace) -> int:
    """Print the schema."""
    from compiler.language.schema import text

    print(text(), end="")
    return 0
