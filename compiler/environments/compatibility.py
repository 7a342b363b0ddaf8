"""Packages that do not live together: the table `compatibility.yaml`, and what of a lock breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from pydantic import Field

from compiler.diagnostics import Diagnostic
from compiler.environments.locks import Lock, Pinned
from compiler.environments.needs import Versions
from compiler.language.source import read_tree
from compiler.language.validation import Strict, parse

TABLE = Path(__file__).with_name("compatibility.yaml")


class Row(Strict):
    """One thing that is known: where all of `when` are installed, none of `conflicts` may be."""

    when: dict[str, Versions] = Field(min_length=1)
    """Packages and their versions; "" is any."""
    conflicts: dict[str, list[Versions]] = Field(min_length=1)
    """Packages and the versions of them that do not work then."""
    why: str
    """What happens, in half a sentence."""
    source: str
    """Where that is said, or where it was seen."""


class Table(Strict):
    """The whole table."""

    rows: list[Row]


@cache
def rows() -> tuple[Row, ...]:
    """Every row of the table."""
    return tuple(parse(Table, read_tree(TABLE)).rows)


def holds(versions: str, pin: Pinned) -> bool:
    """Whether a pinned version is among `versions`; a pre-release counts like any other."""
    return SpecifierSet(versions).contains(pin.version, prereleases=True)


def broken(lock: Lock) -> Iterator[Diagnostic]:
    """Which rows a lock breaks, each at the line of the package that must go."""
    for row in rows():
        there = [(lock.packages.get(canonicalize_name(name)), versions) for name, versions in row.when.items()]
        if not all(pin and holds(versions, pin) for pin, versions in there):
            continue
        known = ", ".join(f"{pin.name} {pin.version}" for pin, _ in there if pin)
        for name, bad in row.conflicts.items():
            pin = lock.packages.get(canonicalize_name(name))
            if pin and any(holds(versions, pin) for versions in bad):
                yield Diagnostic(
                    pin.position, f"{pin.name} {pin.version} does not live with {known}: {row.why}",
                    f"pin another version, or install it in an environment of its own ({row.source})",
                )  # fmt: skip
