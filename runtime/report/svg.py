"""Small pieces of inline SVG: escaped elements, linear scales, round ticks. Lengths are in user units of the drawing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup, escape

from runtime.report.wording import printable

Attributes = Mapping[str, str | float]


def element(tag: str, attributes: Attributes, *children: Markup | str) -> Markup:
    """One element. Attribute values and plain strings are escaped, Markup is taken as it is."""
    written = "".join(f' {name}="{escape(_value(value))}"' for name, value in attributes.items())
    inside = "".join(child if isinstance(child, Markup) else escape(printable(child)) for child in children)
    return Markup(f"<{tag}{written}>{inside}</{tag}>")


def text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> Markup:
    """Words with their baseline at (x, y)."""
    return element("text", {"x": x, "y": y, "class": style, "text-anchor": anchor}, words)


def titled(title: str, attributes: Attributes, *children: Markup) -> Markup:
    """A group that says what it is on hover, and to who hears the page instead of seeing it."""
    return element("g", attributes, element("title", {}, title), *children)


def drawing(width: float, height: float, title: str, identity: str, *children: Markup) -> Markup:
    """A whole figure, as wide as its place; `identity` must be unique on the page."""
    place = {"viewBox": f"0 0 {width:g} {height:g}", "style": f"max-width:{width:g}px"}
    name = element("title", {"id": identity}, title)
    return element("svg", {**place, "role": "img", "aria-labelledby": identity}, name, *children)


@dataclass(frozen=True)
class Scale:
    """Maps values from [low, high] to lengths from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values from at or below `low` to at or above `high`, some `about` of them, zero among them when within."""
    raw = max(high - low, 1e-3) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def _value(value: str | float) -> str:
    return printable(value) if isinstance(value, str) else f"{round(value, 2):g}"
