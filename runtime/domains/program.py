"""Write a Python expression that carries out two steps on a number x.

What is right is what runs right on the row's tests, not what looks like the solution. The slips are what people mix up:
`/` for `//`, the quotient for the remainder, `min` for `max`, a changed sign for a dropped one.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any

NUMBERS = range(2, 21)
TRIALS = (-7, -2, 0, 1, 3, 5, 10, 24)


@dataclass(frozen=True)
class Step:
    """One step: its words, the expression it makes of the one before it, and what it does to a value.

    A step with a slip, the expression that is often written instead, is rare in pre-training.
    """

    words: str
    expression: str
    apply: Callable[[int, int], int]
    slip: str | None = None


STEPS = (
    Step("add {n}", "({e}+{n})", operator.add),
    Step("subtract {n}", "({e}-{n})", operator.sub),
    Step("multiply by {n}", "({e}*{n})", operator.mul),
    Step("square it", "({e}**2)", lambda x, n: x * x),
    Step("divide by {n}", "({e}//{n})", operator.floordiv, slip="({e}/{n})"),
    Step("remainder by {n}", "({e}%{n})", operator.mod, slip="({e}//{n})"),
    Step("at least {n}", "max({e},{n})", max, slip="min({e},{n})"),
    Step("at most {n}", "min({e},{n})", min, slip="max({e},{n})"),
    Step("drop the sign", "abs({e})", lambda x, n: abs(x), slip="(-{e})"),
)
Chain = tuple[tuple[Step, int], ...]


def make_rows(train: int, evaluation: int, random: Random) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Half of either split's rows use a rare step; no description stands in both splits."""
    chains = [chain for pair in product(STEPS, repeat=2) for chain in _numbered(pair)]
    random.shuffle(chains)
    plain = [chain for chain in chains if not _is_rare(chain)]
    rare = [chain for chain in chains if _is_rare(chain)]
    mixed = [chain for both in zip(plain, rare, strict=False) for chain in both]
    held_out, rest = mixed[:evaluation], mixed[evaluation : evaluation + train]
    return [_row(chain) for chain in rest], [_row(chain) for chain in held_out]


def _numbered(steps: Sequence[Step]) -> list[Chain]:
    choices = [[(step, number) for number in (NUMBERS if "{n}" in step.words else (0,))] for step in steps]
    return list(product(*choices))


def _is_rare(chain: Chain) -> bool:
    return any(step.slip for step, _ in chain)


def _row(chain: Chain) -> dict[str, Any]:
    words = ", then ".join(step.words.format(n=number) for step, number in chain)
    solution = _expression([(step.expression, number) for step, number in chain])
    row = {
        "prompt": f"f(x): {words}",
        "answer": solution,
        "solution": solution,
        "prefix": "def f(x): return ",
        "tests": [{"call": f"f({trial})", "result": repr(_value(chain, trial))} for trial in TRIALS],
        "rare": _is_rare(chain),
    }
    slip = _expression([(step.slip or step.expression, number) for step, number in chain])
    return {**row, "slip": slip} if _is_rare(chain) and not _agree(slip, solution) else row


def _agree(slip: str, solution: str) -> bool:
    """Whether two of this module's expressions have one value on every trial, as where a dropped sign is squared."""
    return all(_evaluate(slip, x) == _evaluate(solution, x) for x in TRIALS)


def _evaluate(expression: str, x: int) -> float:
    return float(eval(expression, {"x": x, "min": min, "max": max, "abs": abs, "__builtins__": {}}))


def _expression(templates: Sequence[tuple[str, int]]) -> str:
    """The steps as one expression, without spaces and without parentheses that Python does not need."""
    nested = "x"
    for template, number in templates:
        nested = template.format(e=nested, n=number)
    return ast.unparse(ast.parse(nested, mode="eval")).replace(" ", "")


def _value(chain: Chain, x: int) -> int:
    """What the chain makes of x, worked out step by step and so independently of the solution's text."""
    for step, number in chain:
        x = step.apply(x, number)
    return x
