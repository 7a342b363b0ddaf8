"""How numbers and names are written, the same in every rendering: scores in %, changes in percentage points."""

from __future__ import annotations

import re
import textwrap

from runtime.report.columns import WIDTH
from runtime.report.settings import NEEDED_AXES, Cell, Settings
from runtime.report.statistics import Estimate

NUMBER = re.compile(r"[-+]?[.0-9]+(e[-+]?[0-9]+)?|true|false", re.IGNORECASE)
GAIN, LOSS, WITHIN = "▲", "▼", "·"
MINUS = "−"  # noqa: RUF001  (a true minus sign is as wide as a plus)


def percent(share: float) -> str:
    """0.4125 as 41.2."""
    return f"{100 * share:.1f}"


def points(change: float) -> str:
    """0.145 as +14.5, -0.004 with a true minus sign; one that rounds to nothing is 0.0, without a sign."""
    text = f"{100 * change:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", MINUS)


def interval(estimate: Estimate) -> str:
    """The limits as [+9.9, +19.1]; one that rounds to nothing keeps its sign, which says on which side of zero it lies."""
    return f"[{limit(estimate.low)}, {limit(estimate.high)}]"


def limit(change: float) -> str:
    return f"{100 * change:+.1f}".replace("-", MINUS)


def mark(estimate: Estimate) -> str:
    """Whether a change is beyond its interval, and which way."""
    return (WITHIN, GAIN, LOSS)[estimate.sign]


def confidence(settings: Settings) -> str:
    """0.95 as 95 %."""
    return f"{100 * settings.confidence:g} %"


def own_label(cell: Cell) -> str:
    """A cell within its method and section: its domain, and the axes that the study added; a bare number says of which."""
    return " ".join([cell.domain, *extras(cell)])


def extras(cell: Cell, seeds: bool = True) -> list[str]:
    """A cell's values on the axes that the study added, or on those of them that are no seed's."""
    own = {axis: value for axis, value in cell.axes.items() if axis not in NEEDED_AXES}
    return [with_axis(axis, value) for axis, value in own.items() if seeds or axis.rpartition(".")[2] != "seed"]


def with_axis(axis: str, value: str) -> str:
    """A value on an axis; a bare number says of which."""
    return f"{axis}{value}" if NUMBER.fullmatch(value) else value


def printable(name: str) -> str:
    """A name with every character that would move a cursor or break a line replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


def wrapped(line: str) -> list[str]:
    """A line of text as several that fit, indented."""
    return textwrap.wrap(line, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
