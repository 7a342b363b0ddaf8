"""The study: what one spec file says, validated and typed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from compiler.source import Tree, read_tree
from compiler.validation import Strict, parse

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")


def _plain_name(value: str) -> str:
    """Names become file names, Slurm job names and W&B names, so they are plain."""
    if not _PLAIN_NAME.match(value):
        raise ValueError(f"{value!r} is no plain name: letters, digits, '_', '-' and '.', beginning with a letter or digit")
    return value


Name = Annotated[str, Field(max_length=60), AfterValidator(_plain_name)]


class Axes(Strict):
    """The values of each axis; the cells are their product, in this order."""

    method: list[Name] = Field(min_length=1)
    domain: list[Name] = Field(min_length=1)
    start: list[Name] = Field(min_length=1)
    scale: list[Name] = Field(min_length=1)

    @model_validator(mode="after")
    def _no_value_twice(self) -> Axes:
        for axis in AXES:
            values = getattr(self, axis)
            twice = sorted({v for v in values if values.count(v) > 1})
            if twice:
                raise ValueError(f"axis '{axis}' names {', '.join(twice)} twice")
        return self


AXES = ("method", "domain", "start", "scale")


class Where(Strict):
    """Which cells a rule means: those whose value on every named axis is one of those given."""

    method: list[Name] | Name | None = None
    domain: list[Name] | Name | None = None
    start: list[Name] | Name | None = None
    scale: list[Name] | Name | None = None


class Rule(Strict):
    """One ordered, named edit of the cells: its action's value is its name."""

    drop: Name | None = None
    keep: Name | None = None
    set: Name | None = None
    where: Where
    to: dict[Name, dict[str, Any]] | None = None
    why: str

    @model_validator(mode="after")
    def _one_action(self) -> Rule:
        if sum(x is not None for x in (self.drop, self.keep, self.set)) != 1:
            raise ValueError("a rule is exactly one of drop, keep and set, with its name as the value")
        if (self.set is None) != (self.to is None):
            raise ValueError("'to' (algorithm: {setting: value}) belongs to a 'set' rule, and to no other")
        return self


class Evaluation(Strict):
    """What every cell is measured on, after training and (its start, once) before."""

    suites: list[Name] = Field(min_length=1)
    confidence: float = Field(default=0.95, gt=0, lt=1)


class Tracking(Strict):
    """Where training curves go. The run id is the cell's, fixed when compiling."""

    wandb: Literal["online", "offline", "disabled"] = "offline"
    project: Name = "lethe"


class Study(Strict):
    """One study, as its spec says it. `define` holds raw definitions; compiler.catalog reads them."""

    study: Name
    about: str
    cluster: Name
    catalog: list[str] = Field(default=["catalog"], min_length=1)
    axes: Axes
    rules: list[Rule] = Field(default_factory=list)
    evaluate: Evaluation
    tracking: Tracking = Tracking()
    define: dict[str, dict[Name, Any]] = Field(default_factory=dict)


def read_study(path: Path) -> tuple[Study, Tree]:
    """Read and validate a spec. Raises SpecError."""
    tree = read_tree(path)
    return parse(Study, tree), tree
