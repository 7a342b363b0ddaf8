r"""Mathematics: the final answer (`extraction.py`) is equal to the row's answer.

In this order: as exact fractions where both are numbers (`\frac12`, `0.5`, `1/2`, `50\%` are one value), as normalised text,
and as expressions, by math-verify in a helper process (`symbolic.py`). An expression of the question is no answer: where a
plain number is wanted, what is still to be added or multiplied out is not equal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from runtime.data.rows import Row
from runtime.graders.extraction import find_final
from runtime.graders.symbolic import is_same

LONGEST_NUMBER, LONGEST_EXPRESSION = 200, 300
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
POWER_OF_TEN = re.compile(r"(?<=\d)(?:\\times|\\cdot|\*)10\^(?:\{([+-]?\d{1,3})\}|(\d))$")
SPACED_MIXED = re.compile(r"(?<![\d./])(\d+)\s+(\d+)\s*/\s*(\d+)")
SHORT_FRACTION = re.compile(r"\\frac\s*(\d)\s*(\d)")
BRACED_FRACTION = re.compile(r"([+-]?)(\d*)\\frac\{([^{}]*)\}\{([^{}]*)\}")
NAMED_VALUE = re.compile(r"[A-Za-z]=(?=.)")
WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\{([^{}]*)\}")
CONTROL_SPACE = re.compile(r"(?<!\\)\\ ")
EXPONENT = r"(?:\^(?:\{[23]\}|[23]))?"
UNITS = "mm|cm|dm|km|mi|ft|in|yd|kg|mg|lb|oz|ml|hr|h|s|m|g"
SPACED_UNIT = re.compile(rf"(?<=[\d}}])\s+(?:{UNITS}){EXPONENT}$")
UNIT = re.compile(rf"(?<=[\d}}])(?:\\(?:text|mathrm|mbox)\{{[^{{}}]*\}}|(?<=\d)[A-Za-z]{{3,}}){EXPONENT}$")
CHOICE = re.compile(r"\(([A-Z])\)")
DROPPED = ("\\left", "\\right", "\\!", "\\,", "\\;", "\\$", "$", "\\(", "\\)", "^\\circ", "^{\\circ}")
OPERATIONS = re.compile(r"(?<=.)[+\-*]|\\times|\\cdot|\\div")
CLOSED_FORM = re.compile(r"[\\^]")
FUNCTIONS = re.compile(r"\\[A-Za-z]+|sin|cos|tan|log|ln|exp|sqrt|pi|infty")
WORD = re.compile(r"[A-Za-z]{2,}")


def grade_many(rows: Sequence[Row], outputs: Sequence[str]) -> list[bool]:
    """Whether each output's final answer equals its row's `answer`."""
    return [is_equal(find_final(output), str(row["answer"])) for row, output in zip(rows, outputs, strict=True)]


def is_equal(given: str, wanted: str) -> bool:
    """Whether two final answers are equal; an empty `given` never is."""
    left, right = normalise(given), normalise(wanted)
    if not left:
        return False
    left_value, right_value = parse_number(left), parse_number(right)
    if left_value is not None and right_value is not None:
        return _one_value(left_value, left.endswith("%"), right_value, right.endswith("%"))
    if _plain(left) == _plain(right):
        return True
    if right_value is not None and (OPERATIONS.search(left) or not CLOSED_FORM.search(left)):
        return False
    return _comparable(left, right) and is_same(left, right)


def normalise(text: str) -> str:
    r"""One spelling for what LaTeX writes in several: no spaces, `$`, units, `x=` or final stop."""
    text = text.strip().replace("dfrac", "frac").replace("tfrac", "frac").replace("{,}", ",")
    text = CONTROL_SPACE.sub(" ", text)
    for dropped in DROPPED:
        text = text.replace(dropped, "")
    text = SPACED_MIXED.sub(r"\1\\frac{\2}{\3}", SPACED_UNIT.sub("", text.strip().rstrip(".")))
    if not any(bracket in text for bracket in "(["):
        text = THOUSANDS.sub("", text)
    text = SHORT_FRACTION.sub(r"\\frac{\1}{\2}", re.sub(r"\s+", "", text).rstrip("."))
    text = POWER_OF_TEN.sub(lambda found: f"e{found[1] or found[2]}", text)
    return UNIT.sub("", NAMED_VALUE.sub("", text, count=1) if NAMED_VALUE.match(text) else text)


def parse_number(text: str) -> Fraction | None:
    r"""The value of normalised text that is an integer, decimal, percentage, `a/b`, `\frac{a}{b}` or mixed; else None."""
    if len(text) > LONGEST_NUMBER:
        return None
    if text.endswith("%"):
        return _divide(parse_number(text.removesuffix("%").removesuffix("\\")), Fraction(100))
    if braced := BRACED_FRACTION.fullmatch(text):
        value = _divide(parse_number(braced[3]), parse_number(braced[4]))
        if value is None:
            return None
        value += int(braced[2] or 0)
        return -value if braced[1] == "-" else value
    if text.count("/") == 1:
        above, below = text.split("/")
        return _divide(parse_number(above), parse_number(below))
    return Fraction(text) if NUMBER.fullmatch(text) else None


def _one_value(left: Fraction, left_percent: bool, right: Fraction, right_percent: bool) -> bool:
    """Whether the values are equal, where what was asked for in percent may be given without the sign, or with it."""
    if left_percent == right_percent:
        return left == right
    percentage, other = (left, right) if left_percent else (right, left)
    return other in (percentage, percentage * 100)


def _plain(text: str) -> str:
    """Without the commands that set words upright, and the brackets of a choice."""
    unwrapped = WRAPPED.sub(r"\1", text)
    choice = CHOICE.fullmatch(unwrapped)
    return choice[1] if choice else unwrapped


def _comparable(given: str, wanted: str) -> bool:
    """Whether the two may be one expression: no words, and as many parts in a list."""
    both = given, wanted
    if any(len(text) > LONGEST_EXPRESSION or "?" in text or WORD.search(FUNCTIONS.sub(" ", text)) for text in both):
        return False
    return "\\pm" in given + wanted or _commas(given) == _commas(wanted)


def _commas(text: str) -> int:
    return text.count(",")


def _divide(above: Fraction | None, below: Fraction | None) -> Fraction | None:
    return None if above is None or not below else above / below
