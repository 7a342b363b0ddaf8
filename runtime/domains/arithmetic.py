"""Sums and differences of two-digit numbers, all between 0 and 99.

Those that carry or borrow are rare, and the slip is to forget the carry: 47+38 is taken for 75, 52-17 for 45.
"""

from __future__ import annotations

from random import Random
from typing import Any

OPERANDS = range(10, 100)


def make_rows(train: int, evaluation: int, random: Random) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Half of either split's rows carry or borrow; no expression stands in both splits."""
    pairs = [(left, sign, right) for left in OPERANDS for right in OPERANDS for sign in "+-"]
    pairs = [pair for pair in pairs if 0 <= _value(*pair) <= 99]
    random.shuffle(pairs)
    rows = [_row(*pair) for pair in pairs]
    plain = [row for row in rows if not row["rare"]]
    rare = [row for row in rows if row["rare"]]
    mixed = [row for both in zip(plain, rare, strict=False) for row in both]
    return mixed[evaluation : evaluation + train], mixed[:evaluation]


def carries(left: int, sign: str, right: int) -> bool:
    """Whether adding or subtracting the last digits reaches into the tens."""
    return left % 10 + right % 10 > 9 if sign == "+" else left % 10 < right % 10


def _row(left: int, sign: str, right: int) -> dict[str, Any]:
    value = _value(left, sign, right)
    row = {"prompt": f"{left}{sign}{right}=?", "answer": str(value), "solution": str(value)}
    if not carries(left, sign, right):
        return {**row, "rare": False}
    return {**row, "rare": True, "slip": str(value - 10 if sign == "+" else value + 10)}


def _value(left: int, sign: str, right: int) -> int:
    return left + right if sign == "+" else left - right
