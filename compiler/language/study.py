"""The study: what one spec file says, validated and typed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import core_schema

from compiler.language.references import Refers
from compiler.language.source import Tree, read_tree
from compiler.language.validation import Strict, both_or_none, exactly_one, given, misplaced, parse, shown
from compiler.slurm import storage

PLAIN_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
LONGEST_NAME = 60
NAME_SCHEMA: dict[str, Any] = {"type": "string", "pattern": PLAIN_NAME, "maxLength": LONGEST_NAME}
SIZE = r"^[1-9][0-9]*[KMGT]$"


def _plain_name(value: str) -> str:
    """Names become file names, Slurm job names and W&B names, so they are plain."""
    if not re.fullmatch(PLAIN_NAME.strip("^$"), value):
        raise ValueError(f"{value!r} is no plain name: letters, digits, '_', '-' and '.', beginning with a letter or digit")
    return value


Name = Annotated[
    str,
    Field(max_length=LONGEST_NAME),
    AfterValidator(_plain_name),
    WithJsonSchema(NAME_SCHEMA),
]
Value = Name | int | float | bool


class Once:
    """Marks a list as one that has no item twice. True is not 1 here, and 1 is 1.0, as in JSON."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(_each_once, handler(source))

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "uniqueItems": True}


def _each_once(values: list[Any]) -> list[Any]:
    keys = [(isinstance(value, bool), value) for value in values]
    seen = set()
    for place, key in enumerate(keys):
        if key in seen:
            raise misplaced((place,), f"{shown(values[place])} is there twice")
        seen.add(key)
    return values


Values = Annotated[list[Value], Field(min_length=1), Once()]
Names = Annotated[list[Name], Field(min_length=1), Once()]
Bundles = Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]

NAMED = ("method", "domain", "start", "scale")  # the axes of every study, whose values the catalog defines
ADAPTER = "adapter"  # an axis whose values the catalog defines, too, and that a study may leave out


class Axes(Strict):
    """The values of each axis; the cells are their product, the first axis outermost."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"propertyNames": NAME_SCHEMA})
    __pydantic_extra__: dict[Name, Values | Bundles]

    method: Annotated[Names, Refers("methods")] = Field(default=[], examples=[["gt_sft", "on_rl"]])
    """What is done to the model: methods of the catalog."""
    domain: Annotated[Names, Refers("domains")] = Field(default=[], examples=[["math", "qa"]])
    """What it is done on: domains of the catalog, or combinations of them."""
    start: Annotated[Names, Refers("starts")] = Field(default=[], examples=[["base", "safe"]])
    """The model to begin from: starts of each scale."""
    scale: Annotated[Names, Refers("scales")] = Field(default=[], examples=[["4b"]])
    """The model's size: scales of the catalog."""
    adapter: Annotated[Names, Refers("adapters")] = Field(default=[], examples=[["full", "lora"]])
    """Which weights are trained: adapters of the catalog. Without this axis, all weights are."""

    def items(self) -> Iterator[tuple[str, list[Any] | Mapping[str, Any]]]:
        """Every axis that the study has, with its values. A spec's own order of them is that of its tree."""
        for axis in (*NAMED, ADAPTER):
            if getattr(self, axis):
                yield axis, getattr(self, axis)
        yield from (self.__pydantic_extra__ or {}).items()

    def values(self, axis: str) -> list[Any]:
        """The values of an axis; of one with bundles of settings, their names."""
        return list(dict(self.items())[axis])


Where = dict[Name, Value | Values]


ACTIONS = ("drop", "keep", "add", "set")


class Rule(Strict):
    """One ordered, named edit of the cells: its action's value is its name."""

    model_config = ConfigDict(
        json_schema_extra={
            **exactly_one(*ACTIONS),
            "allOf": [both_or_none("set", "to"), both_or_none("add", "cells"), exactly_one("add", "where")],
        }
    )

    drop: Name | None = None
    """Take away the cells that 'where' means."""
    keep: Name | None = None
    """Take away all but the cells that 'where' means."""
    add: Name | None = None
    """Add the product of the values under 'cells'."""
    set: Name | None = None
    """Change settings of the cells that 'where' means."""
    where: Where | None = None
    """Which cells: those whose value on every axis named here is one of those given."""
    cells: dict[Name, Values] | None = None
    """Of an 'add': values for axes; an axis that is not named has all of its values."""
    to: dict[Name, dict[str, Any]] | None = None
    """Of a 'set': algorithm, setting and new value."""
    why: str
    """The reason, for those who read the plan."""

    @model_validator(mode="after")
    def _one_action(self) -> Rule:
        if sum(x is not None for x in (self.drop, self.keep, self.add, self.set)) != 1:
            raise ValueError("a rule is exactly one of drop, keep, add and set, with its name as the value")
        if (self.set is None) != (self.to is None):
            raise ValueError("'to' (algorithm: {setting: value}) belongs to a 'set' rule, and to no other")
        if (self.add is None) != (self.cells is None):
            raise ValueError("'cells' (axis: [values]) belongs to an 'add' rule, and to no other")
        if (self.add is None) == (self.where is None):
            raise ValueError("'where' (axis: values) belongs to every rule but 'add'")
        return self

    @property
    def action(self) -> str:
        return next(action for action in ACTIONS if getattr(self, action) is not None)

    @property
    def name(self) -> str:
        return str(getattr(self, self.action))


Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Size = Annotated[str, AfterValidator(storage), WithJsonSchema({"type": "string", "pattern": SIZE})]


class Spaced(Strict):
    """Some of a training's checkpoints, in one unit."""

    model_config = ConfigDict(json_schema_extra=exactly_one("log", "steps", "epochs", "fractions"))

    log: int | None = Field(default=None, ge=2)
    """So many of the saved ones, the first and the last among them, their steps spaced evenly on a logarithmic scale."""
    steps: list[Positive] | None = Field(default=None, min_length=1)
    """After these steps."""
    epochs: list[Annotated[float, Field(gt=0)]] | None = Field(default=None, min_length=1)
    """After these epochs."""
    fractions: list[Share] | None = Field(default=None, min_length=1)
    """After these shares of all steps."""

    @model_validator(mode="after")
    def _one_unit(self) -> Spaced:
        if sum(x is not None for x in (self.log, self.steps, self.epochs, self.fractions)) != 1:
            raise ValueError("say exactly one of log, steps, epochs and fractions")
        return self


Checkpoints = Literal["final", "all"] | Spaced


class Relearn(Strict):
    """One further training of every cell's last checkpoint, on what the cell was to forget: how soon is it back?"""

    algorithm: Annotated[Name, Refers("algorithms")]
    """An algorithm of the catalog."""
    dataset: Annotated[Name, Refers("datasets")]
    """A dataset of the catalog, made from the cell's domain."""
    steps: Annotated[list[Positive], Field(min_length=1), Once()]
    """After which of its steps it is measured; it takes as many as the last of them."""
    settings: dict[str, Any] = Field(default={})
    """Settings of the algorithm, on top of its own and of the domain's; no axis and no rule changes them."""
    suites: Annotated[Names, Refers("suites")] | None = None
    """Suites of the catalog; default: those of the study."""


class Evaluation(Strict):
    """What every cell is measured on, after training and (its start, once) before."""

    suites: Annotated[Names, Refers("suites")]
    """Suites of the catalog, the same for all cells."""
    divergence: Annotated[Name, Refers("suites")] | None = None
    """A suite that tells how far each measured checkpoint has moved from its cell's start, on prompts of what was trained."""
    checkpoints: Checkpoints = "final"
    """Which of a training's checkpoints; a suite may say its own."""
    after: Literal["last", "each"] = "last"
    """In a sequence of domains: only at its end, or after each of them (what became of the earlier ones?)."""
    relearn: Relearn | None = None
    """Whether what was forgotten comes back in a further training, and after how many steps; the reference start's is the
    curve to compare with."""
    baselines: bool = True
    """Whether the starts are measured, too. Without them no change can be told."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Of every interval in the report."""


class Match(Strict):
    """What must be the same for cells to be compared, checked on the plan."""

    same: Literal["prompts", "examples", "tokens", "gpu_hours", "start"]
    """The questions, rows seen, tokens at most, GPU-hours at the time limits, or the start's checkpoint."""
    across: Names
    """The axes along which cells are compared: those that differ in nothing else must match."""
    within: float = Field(default=0.0, ge=0, lt=1)
    """The tolerated difference, as a share of the larger number."""
    why: str
    """The reason, for those who read the plan."""


class Accept(Strict):
    """A difference between compared cells that the study knows of; it is no warning any more."""

    differ: Literal["prompt", "tokens", "suites", "seed", "precision"]
    """What differs."""
    across: Name
    """The axis along which cells are compared."""
    why: str
    """The reason, for those who read the plan."""


class Budget(Strict):
    """What the whole plan may take; a plan that takes more does not compile."""

    gpu_hours: float | None = Field(default=None, ge=0)
    """At the jobs' time limits."""
    jobs: int | None = Field(default=None, ge=1)
    """Jobs in the plan."""
    storage: Size | None = Field(default=None, examples=["500G", "2T"])
    """Of checkpoints in the store."""


class Origin(Strict):
    """Cells chosen by another study's results. `lethe select` writes them into a file of their own, to be committed."""

    study: str = Field(examples=["phase1.yaml"])
    """The other study's spec, seen from this one."""
    select: str = Field(examples=["top 3 by forgetting", "top 1 by gain per domain"])
    """`top N by METRIC` or `bottom N by METRIC`, with `per AXIS` for the best of each."""
    axes: Names
    """The axes whose values are taken from the chosen cells; this study's own axes give the rest."""


class Tracking(Strict):
    """Where training curves go. The run id is the cell's, fixed when compiling."""

    wandb: Literal["online", "offline", "disabled"] = "offline"
    """Offline runs are uploaded later, with `wandb sync`."""
    project: Name = "lethe"
    """The W&B project."""


def _has_axes(schema: dict[str, Any]) -> None:
    """Says in JSON Schema what Study.lacks says: each named axis is under `axes`, or chosen by `from`."""
    chosen = {axis: {"properties": {"from": {"properties": {"axes": {"contains": {"const": axis}}}}}} for axis in NAMED}
    own = {axis: {"properties": {"axes": {"required": [axis]}}} for axis in NAMED}
    schema["if"] = given("from")
    schema["then"] = {"allOf": [{"anyOf": [own[axis], chosen[axis]]} for axis in NAMED]}
    schema["else"] = {"properties": {"axes": {"required": list(NAMED)}}}


class Study(Strict):
    """One study: which cells, made how, measured on what, where."""

    model_config = ConfigDict(json_schema_extra=_has_axes)

    study: Name
    """The study's name: its folder below generated/."""
    about: str
    """One line on what it asks."""
    cluster: Annotated[Name, Refers("clusters")]
    """A cluster of the catalog."""
    catalog: list[str] = Field(default=["catalog"], min_length=1)
    """Folders of definitions, seen from this file; later ones lie on top."""
    name: str | None = Field(default=None, examples=["{scale}__{domain}__{method}"])
    """How cells are named, with every axis in braces. Default: method, domain, start, scale, then the others in their order."""
    axes: Axes
    """The values of each axis. Besides the named ones, an axis is a setting (`lr: [1e-5, 2e-5]`, `grpo.lr: [...]`), or named
    bundles of settings (`speed: {slow: {lr: 1e-6, epochs: 3}, fast: {lr: 1e-5, epochs: 1}}`)."""
    zip: list[Annotated[Names, Field(min_length=2)]] = Field(default=[])
    """Axes that go together, value by value, instead of each with each."""
    origin: Origin | None = Field(default=None, alias="from")
    """Cells chosen by another study's results."""
    rules: list[Rule] = Field(default=[])
    """Edits of the cells, in this order."""
    evaluate: Evaluation
    """What every cell is measured on."""
    match: list[Match] = Field(default=[])
    """What must be the same for cells to be compared."""
    accept: list[Accept] = Field(default=[])
    """Differences between compared cells that the study knows of."""
    budget: Budget = Budget()
    """What the whole plan may take."""
    tracking: Tracking = Tracking()
    """Where training curves go."""
    canary: bool = False
    """Whether nothing of the study starts before its canary (`lethe canary`) has succeeded in the same store."""
    define: dict[str, dict[Name, Any]] = Field(default={})
    """Definitions of the study's own, on top of the catalog's: section, name, definition (or `extends:` and what differs)."""

    @property
    def its_canary(self) -> str:
        """The name of the study that its canary is."""
        return f"{self.study}-canary"

    @classmethod
    def lacks(cls, data: Any) -> Iterator[tuple[str, str]]:
        """A named axis that neither the study's own axes nor `from` has."""
        axes, origin = data.get("axes"), data.get("from")
        chosen = origin.get("axes") if isinstance(origin, dict) else None
        for axis in NAMED if isinstance(axes, dict) else ():
            if axis not in axes and axis not in (chosen if isinstance(chosen, list) else ()):
                yield "axes", axis


def read_study(path: Path) -> tuple[Study, Tree]:
    """Read and validate a spec. Raises SpecError."""
    tree = read_tree(path)
    return parse(Study, tree), tree
