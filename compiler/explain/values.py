"""Where the values of a job come from: every layer that says something of a value, and which of them holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx

from compiler import backends
from compiler.columns import aligned
from compiler.diagnostics import Position
from compiler.language.places import Resources
from compiler.language.source import Tree, leaves
from compiler.lower.sources import Said, Sources, chain
from compiler.plan.plan import Job, Plan, PlannedCell, graph
from compiler.select.grammar import no_such
from compiler.select.offer import evaluations, members
from compiler.text import yaml_flow

GROUPS = ("settings", "execution", "resources")
LONGEST = 70  # characters of a value in a line


@dataclass(frozen=True)
class Value:
    """One value of a job with its sources, the lowest first: the last one holds.

    `names` are what its field may stand behind, as in `sft.lr`.
    """

    job: str
    field: tuple[str, ...]
    value: Any
    about: str
    chain: tuple[Said, ...]
    names: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The field as people write it: without `settings.`, which most are."""
        return ".".join(self.field[1:] if self.field[0] == "settings" else self.field)

    def as_json(self) -> dict[str, Any]:
        last = len(self.chain) - 1
        chain = [{**_said_as_json(said), "holds": number == last} for number, said in enumerate(self.chain)]
        return {"job": self.job, "field": ".".join(self.field), "value": self.value, "about": self.about, "chain": chain}


def _said_as_json(said: Said) -> dict[str, Any]:
    place = said.place or Position("")
    return {
        "source": said.source, "file": place.file or None, "line": place.line or None, "column": place.column or None,
        "value": said.value,
    }  # fmt: skip


# ---- what there is to explain ---------------------------------------------------------------------------------------


def values_of(job: Job, sources: Sources) -> list[Value]:
    """Every single value of a job's settings, execution and resources."""
    found = []
    for group in GROUPS:
        tree: Tree = getattr(sources, group)
        for path, value in leaves(getattr(job, group)):
            field = (group, *map(str, path))
            said = chain(tree, field, value)
            found.append(Value(job.id, field, value, about(job, field), said, _names(job, said)))
    return found


def _names(job: Job, chain: Iterable[Said]) -> frozenset[str]:
    """What may stand before a field: `sft.lr`, `train.lr`, also where algorithm `spin` is run by the trainer `dpo`."""
    algorithms = [said.source.removeprefix("algorithm ") for said in chain if said.source.startswith("algorithm ")]
    return frozenset({job.kind, job.what, *algorithms})


def about(job: Job, field: Sequence[str]) -> str:
    """What a field means, from the schema of what reads it."""
    if field[0] == "resources":
        found = Resources.model_fields.get(field[1])
        return (found.description if found else None) or ""
    schema = backends.part(job.backend, job.what, Position(job.id)).schema
    node, text = schema["properties"].get(field[0], {}), ""
    for step in field[1:]:
        node = _property(node, step, schema)
        text = str(node.get("description", text))
    return text


def _property(node: Mapping[str, Any], step: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a JSON Schema says of a mapping's key, through references and alternatives."""
    if "$ref" in node:
        node = schema["$defs"][str(node["$ref"]).rpartition("/")[2]]
    for part in (node, *node.get("anyOf", ()), *node.get("oneOf", ())):
        target = schema["$defs"][str(part["$ref"]).rpartition("/")[2]] if "$ref" in part else part
        if step in target.get("properties", {}):
            found: Mapping[str, Any] = target["properties"][step]
            return found
    return {}


# ---- what is asked for ----------------------------------------------------------------------------------------------


def explain(plan: Plan, sources: Mapping[str, Sources], name: str, field: str | None) -> list[Value]:
    """The values that a cell's or job's name, and perhaps a field's, mean. Raises SelectionError.

    Of a cell these are its trainings', and where none has the field, those of all jobs that it takes; without a field, its
    trainings' settings only.
    """
    cell = next((cell for cell in plan.cells if cell.id == name), None)
    if cell is None:
        return _of_job(plan, sources, name, field)
    whole = members(plan)
    trainings = [job for job in plan.jobs if job.kind == "train" and cell.id in whole.get(job.id, ())]
    values = [value for job in trainings for value in values_of(job, sources[job.id])]
    if field is None:
        return [value for value in values if value.field[0] == "settings"]
    rest = [value for job in _needed(plan, cell) for value in values_of(job, sources[job.id])]
    return named(values, field) or named(rest, field) or _missing(name, field, values)


def _of_job(plan: Plan, sources: Mapping[str, Sources], name: str, field: str | None) -> list[Value]:
    job = next((job for job in plan.jobs if job.id == name), None)
    if job is None:
        raise no_such(f"study '{plan.study}'", "cell or job", name, [*(c.id for c in plan.cells), *(j.id for j in plan.jobs)])
    values = values_of(job, sources[job.id])
    return values if field is None else named(values, field) or _missing(name, field, values)


def _needed(plan: Plan, cell: PlannedCell) -> list[Job]:
    """Every job that a cell takes: its evaluations, and all that they are made from."""
    ends, whole = evaluations(cell), graph(plan.jobs)
    ids = set(ends).union(*(nx.ancestors(whole, end) for end in ends))
    return [job for job in plan.jobs if job.id in ids]


def named(values: Sequence[Value], field: str) -> list[Value]:
    """The values at or below a field: `lr`, `prompt.template`, `resources.time`, and `sft.lr` where several jobs have one."""
    words = tuple(field.split("."))
    plain = [value for value in values if _below(value.field, words) or _below(value.field[1:], words)]
    return plain or [v for v in values if words[0] in v.names and words[1:] and _below(v.field[1:], words[1:])]


def _below(field: Sequence[str], words: Sequence[str]) -> bool:
    return tuple(field[: len(words)]) == tuple(words)


def _missing(name: str, field: str, values: Sequence[Value]) -> list[Value]:
    """Say that there is no such field, with the nearest, behind the same algorithm where one is named."""
    first, dot, _ = field.partition(".")
    before = first + dot if dot and any(first in value.names for value in values) else ""
    known = [value for value in values if not before or first in value.names]
    raise no_such(f"'{name}'", "field", field, [before + value.name for value in known])


# ---- as people read it ----------------------------------------------------------------------------------------------


def listed(values: Sequence[Value]) -> list[str]:
    """A line a value, under its job: name, value, and the source that holds."""
    lines: list[str] = []
    for job in dict.fromkeys(value.job for value in values):
        lines += [job, *aligned([_row(value) for value in values if value.job == job], "  ")]
    return lines


def _row(value: Value) -> list[str]:
    return [value.name, short(value.value), value.chain[-1].source, str(value.chain[-1].place or "")]


def told(value: Value) -> list[str]:
    """A value with its meaning and its whole chain, what holds first."""
    rows = [
        ["holds" if number == 0 else "replaced", short(said.value), said.source, str(said.place or "")]
        for number, said in enumerate(reversed(value.chain))
    ]
    meaning = [f"  {value.about}"] if value.about else []
    return [f"{value.job}: {value.name} = {short(value.value)}", *meaning, *aligned(rows, "    ")]


def short(value: Any) -> str:
    """A value on one line, as a spec would have it."""
    text = yaml_flow(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
