r"""Mathematics: the final answer, from the last \boxed{…} or else the whole output, equal in value to the row's answer.

Braces are matched by counting, so `\boxed{\frac{\sqrt{3}}{2}}` is found whole. Values are compared as exact fractions
where both sides are numbers (`\frac12`, `0.5`, `1/2`, `50\%` are one value), and as normalised text where they are not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from runtime.rows import Row

LONGEST_NUMBER = 200
BOXES = ("\\boxed", "\\fbox")
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
SHORT_FRACTION = re.compile(r"\\frac\s*(\d)\s*(\d)")
BRACED_FRACTION = re.compile(r"([+-]?)\\frac\{([^{}]*)\}\{([^{}]*)\}")
NAMED_VALUE = re.compile(r"[A-Za-z]=(?=.)")
UNIT = re.compile(r"(?<=\d)(?:\\text\{[^{}]*\}|[A-Za-z]{3,})$")
DROPPED = ("\\left", "\\right", "\\!", "\\,", "\\;", "\\ ", "\\$", "$", "\\(", "\\)", "^\\circ", "^{\\circ}")


def grade_many(rows: Sequence[Row], outputs: Sequence[str]) -> list[bool]:
    """Whether each output's final answer equals its row's `answer`."""
    return [is_equal(extract_answer(output), str(row["answer"])) for row, output in zip(rows, outputs, strict=True)]


def extract_answer(output: str) -> str:
    r"""The content of the last complete \boxed{…} (or \fbox{…}), else the whole output, without surrounding space."""
    start = max(output.rfind(box) for box in BOXES)
    if start < 0:
        return output.strip()
    opening = output.find("{", start)
    return "" if opening < 0 else _braced(output, opening).strip()


def is_equal(given: str, wanted: str) -> bool:
    """Whether two final answers have one value; an empty `given` never does."""
    left, right = normalise(given), normalise(wanted)
    if not left:
        return False
    left_value, right_value = parse_number(left), parse_number(right)
    if left_value is not None and right_value is not None:
        return left_value == right_value
    return left == right


def normalise(text: str) -> str:
    r"""One spelling for what LaTeX writes in several: no spaces, `$`, units, `x=` or final stop."""
    text = text.replace("dfrac", "frac").replace("tfrac", "frac")
    for dropped in DROPPED:
        text = text.replace(dropped, "")
    text = re.sub(r"\s+", "", text).rstrip(".")
    text = SHORT_FRACTION.sub(r"\\frac{\1}{\2}", THOUSANDS.sub("", text))
    return UNIT.sub("", NAMED_VALUE.sub("", text, count=1) if NAMED_VALUE.match(text) else text)


def parse_number(text: str) -> Fraction | None:
    r"""The value of normalised text that is an integer, decimal, percentage, `a/b` or `\frac{a}{b}`; else None."""
    if len(text) > LONGEST_NUMBER:
        return None
    if text.endswith("%"):
        return _divide(parse_number(text.removesuffix("%").removesuffix("\\")), Fraction(100))
    if braced := BRACED_FRACTION.fullmatch(text):
        value = _divide(parse_number(braced[2]), parse_number(braced[3]))
        return -value if value is not None and braced[1] == "-" else value
    if text.count("/") == 1:
        above, below = text.split("/")
        return _divide(parse_number(above), parse_number(below))
    return Fraction(text) if NUMBER.fullmatch(text) else None


def _divide(above: Fraction | None, below: Fraction | None) -> Fraction | None:
    return None if above is None or not below else above / below


def _braced(text: str, opening: int) -> str:
    depth = 0
    for index in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return text[opening + 1 : index]
    return ""
