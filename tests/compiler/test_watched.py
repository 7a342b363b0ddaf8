"""What is made once for all values that agree in what is read of them is what would be made of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from compiler.watched import Known

NAMES = ["lr", "steps", "kind", "id"]
values = st.dictionaries(st.sampled_from(NAMES), st.sampled_from([0, 0.0, False, 1, True, 1.0, "1", None, [1], {"a": 1}]))


def branching(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Reads other values where one is true."""
    return f"{first.get('lr')!r} {second.get('steps')!r}" if second.get("kind") else f"{first.get('steps')!r}"


def greedy(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Reads one mapping as a whole."""
    return f"{second.get('kind')!r} {dict(first)}"


def written(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Hands one mapping to what takes dicts alone."""
    return json.dumps(first) + repr(second.get("lr"))


@given(st.lists(st.tuples(values, values), max_size=20), st.sampled_from([branching, greedy, written]))
def test_it_is_what_the_function_makes(pairs: list[tuple[dict[str, Any], dict[str, Any]]], make: Any) -> None:
    known = Known(make)
    assert [known.of(*both) for both in pairs] == [make(*both) for both in pairs]


def test_values_that_agree_in_what_is_read_are_asked_once() -> None:
    asked: list[object] = []

    def make(values: Mapping[str, Any]) -> str:
        asked.append(values["lr"])
        return str(values["lr"])

    known = Known(make)
    assert [known.of({"lr": lr, "id": number}) for number, lr in enumerate([1, 2, 1, 2, 1.0])] == ["1", "2", "1", "2", "1.0"]
    assert asked == [1, 2, 1.0]


def test_what_reads_what_no_two_have_alike_is_not_kept() -> None:
    asked: list[str] = []
    known = Known(lambda values: asked.append(values["id"]) or "made", frozenset({"id"}))
    assert [known.of({"id": name}) for name in ("a", "a")] == ["made", "made"]
    assert asked == ["a", "a"]
