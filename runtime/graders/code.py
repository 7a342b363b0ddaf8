"""Programs: the output, run in a sandbox, gives every test's expected value.

A row has one of three kinds of tests. `{"call", "result"}`: expressions evaluated after the program. `{"input", "output"}`:
what the program prints when it reads the input. `judge` (`{"head", "check", "entry_point"}`): a `check` function like
HumanEval's, which runs in another process than the program. Of the first two the sandbox sees no expected value; they are
compared here. So a program that exits early, overrides `==` or prints a verdict of its own gains nothing.
"""

from __future__ import annotations

import ast
import math
import re
from collections import defaultdict
from collections.abc import Sequence

from runtime.data.rows import Row
from runtime.sandbox import Judged, Limits, Program, Runnable, Script, run_programs

FENCE = re.compile(r"```(?:python3?|py)?[ \t]*\n(.*?)```", re.DOTALL)
CLOSE = 1e-6  # printed decimals may differ by so much, absolutely or relatively


def grade_many(rows: Sequence[Row], outputs: Sequence[str]) -> list[bool]:
    """Whether each output, behind its row's `prefix`, passes all of the row's tests, within the row's `limits` (`seconds`,
    `mebibytes`)."""
    verdicts = [False] * len(rows)
    for limits, places in _places_by_limits(rows).items():
        results = run_programs([_runnable(rows[place], outputs[place]) for place in places], limits)
        for place, result in zip(places, results, strict=True):
            verdicts[place] = _passes(rows[place], result)
    return verdicts


def extract_program(output: str) -> str:
    """The last fenced block of the output, else the whole output, without surrounding space."""
    return _block(output).strip()


def _block(output: str) -> str:
    blocks: list[str] = FENCE.findall(output)
    return blocks[-1] if blocks else output


def _places_by_limits(rows: Sequence[Row]) -> dict[Limits, list[int]]:
    places: defaultdict[Limits, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        places[Limits(**row.get("limits", {}))].append(place)
    return dict(places)


def _runnable(row: Row, output: str) -> Runnable:
    source = row.get("prefix", "") + extract_program(output)
    if "judge" in row:
        judge = row["judge"]
        return Judged(_whole(row, output), judge["head"], judge["check"], judge["entry_point"])
    if _reads_input(row):
        return Script(source, tuple(test["input"] for test in row["tests"]))
    return Program(source, tuple(test["call"] for test in row["tests"]))


def _whole(row: Row, output: str) -> str:
    """The function that a judge asks for, or its body, behind the row's `prefix`, which has its head and imports."""
    prefix, block = row.get("prefix", ""), _block(output)
    if f"def {row['judge']['entry_point']}(" in block:
        return f"{prefix.rstrip()}\n\n\n{block.strip()}"
    return f"{prefix.rstrip()}\n{block.rstrip()}"


def _reads_input(row: Row) -> bool:
    return any("input" in test for test in row["tests"])


def _passes(row: Row, results: Sequence[str] | None) -> bool:
    if results is None:
        return False
    if "judge" in row:
        return tuple(results) == ("passed",)
    if len(results) != len(row["tests"]):
        return False
    if _reads_input(row):
        return all(_prints(given, test["output"]) for given, test in zip(results, row["tests"], strict=True))
    return all(_same(given, test["result"]) for given, test in zip(results, row["tests"], strict=True))


def _same(given: str, wanted: str) -> bool:
    try:
        value = ast.literal_eval(given)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    expected = ast.literal_eval(wanted)
    return type(value) is type(expected) and value == expected


def _prints(given: str, wanted: str) -> bool:
    """Whether the same words are printed in the same order; where the wanted one is a decimal, a number close to it."""
    words, expected = given.split(), wanted.split()
    return len(words) == len(expected) and all(map(_is_word, words, expected))


def _is_word(given: str, wanted: str) -> bool:
    if given == wanted:
        return True
    value = _decimal(wanted)
    found = _decimal(given) if value is not None and "." in wanted else None
    return found is not None and value is not None and math.isclose(found, value, rel_tol=CLOSE, abs_tol=CLOSE)


def _decimal(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
