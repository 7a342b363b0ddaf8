"""Programs: the output, run in a sandbox, gives every test's expected value.

The sandbox sees the calls, never the expected values, which are compared here: a program that exits early, overrides
`==` or prints a verdict of its own gains nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from runtime.rows import Row
from runtime.sandbox import Program, run_programs

FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL)


def grade_many(rows: Sequence[Row], outputs: Sequence[str]) -> list[bool]:
    """Whether each output, behind its row's `prefix`, passes all of the row's `tests` (`{"call", "result"}` texts)."""
    programs = [_program(row, output) for row, output in zip(rows, outputs, strict=True)]
    results = run_programs(programs)
    return [_passes(row, result) for row, result in zip(rows, results, strict=True)]


def extract_program(output: str) -> str:
    """The last fenced block of the output, else the whole output, without surrounding space."""
    blocks: list[str] = FENCE.findall(output)
    return (blocks[-1] if blocks else output).strip()


def _program(row: Row, output: str) -> Program:
    return Program(row.get("prefix", "") + extract_program(output), tuple(test["call"] for test in row["tests"]))


def _passes(row: Row, results: Sequence[str] | None) -> bool:
    if results is None or len(results) != len(row["tests"]):
        return False
    return all(_same(given, test["result"]) for given, test in zip(results, row["tests"], strict=True))


def _same(given: str, wanted: str) -> bool:
    try:
        value = ast.literal_eval(given)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    expected = ast.literal_eval(wanted)
    return type(value) is type(expected) and value == expected
