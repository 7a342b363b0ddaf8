"""The plan: every job of a compiled study and every edge between them, as one canonical JSON."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from json.encoder import encode_basestring
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.diagnostics import TreeError
from compiler.plan.canonical import pieces, written

if TYPE_CHECKING:
    import networkx as nx

VERSION = 4
MANY = 1000  # inputs of a job, beyond which its text is written in parts
SHORT = 12  # hex digits of a fingerprint in a folder's name


def folder_of(job: str, fingerprint: str) -> str:
    """The folder in the store of what a job makes."""
    return f"{job}-{fingerprint[:SHORT]}"


@dataclass(frozen=True, slots=True)
class Edge:
    """One input of a job. A job runs without an input that is not required (a report marks what is missing)."""

    name: str
    job: str
    type: str
    fingerprint: str
    required: bool = True

    @property
    def path(self) -> str:
        """The artifact's folder in the store."""
        return folder_of(self.job, self.fingerprint)


@dataclass(frozen=True, slots=True)
class Job:
    """One node of the plan. `settings` decide its result; `execution` and `resources` how it runs.

    `config` is its config as the fingerprint sees it: with every execution value blank, but for those that its backend says
    decide the result. `provenance` names the layer that set each setting. `environment` is the cluster's, and `lock` the hash
    of what is installed in it, None where no catalog says.
    `after` names jobs that must have succeeded before, though nothing is read from them; no part of the fingerprint. `cost`
    says what the job takes: GPU-hours at its time limit, bytes of checkpoints, and for a training rows, steps, tokens and
    hours, None where they are not known.
    """

    id: str
    kind: str
    backend: str
    what: str
    cell: Mapping[str, str] | None
    inputs: tuple[Edge, ...]
    output: str
    code: int
    settings: Mapping[str, Any]
    provenance: Mapping[str, str]
    config: Any
    execution: Mapping[str, Any]
    resources: Mapping[str, Any]
    environment: str
    cost: Mapping[str, Any]
    fingerprint: str
    lock: str | None = None
    after: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.id.split("/", 1)[1]

    @property
    def path(self) -> str:
        """The artifact's folder in the store."""
        return folder_of(self.id, self.fingerprint)

    def placed(self, cost: Mapping[str, Any], lock: str | None, after: tuple[str, ...]) -> Job:
        """The same job with what is known once all jobs are. Written out: `replace` takes twice as long, for each of them."""
        return Job(
            self.id, self.kind, self.backend, self.what, self.cell, self.inputs, self.output, self.code, self.settings,
            self.provenance, self.config, self.execution, self.resources, self.environment, cost, self.fingerprint, lock, after,
        )  # fmt: skip


JOB_FIELDS = tuple(sorted(one.name for one in fields(Job)))
OWN = ("cell", "config", "cost", "fingerprint", "id", "inputs", "settings")  # of JOB_FIELDS, what jobs alike differ in


@dataclass(frozen=True, slots=True)
class PlannedPoint:
    """One checkpoint along the way of a cell, after `step` steps of a training, or (None) at the end of one."""

    label: str
    domain: str
    step: int | None
    checkpoint: str
    after: Mapping[str, str]
    divergence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """One cell with the jobs that train and measure it; `before` and `after` map a suite to its evaluate job.

    `trained` names the domains whose rows it saw; `divergence` maps a suite to the job that tells how far it moved; `relearned`
    are checkpoints of the further training that shows how soon what was forgotten is back.
    """

    id: str
    axes: Mapping[str, str]
    train: str
    before: Mapping[str, str]
    after: Mapping[str, str]
    trained: tuple[str, ...] = ()
    points: tuple[PlannedPoint, ...] = ()
    relearned: tuple[PlannedPoint, ...] = ()
    divergence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A compiled study. `sharing` counts the jobs that several cells need, and what it saves that each of them is one. `gate`
    is the study whose report must be done before any job of this one starts: its canary."""

    study: str
    about: str
    spec: str
    cluster: str
    executor: str
    store: str
    axes: Mapping[str, Sequence[str]]
    rules: tuple[Mapping[str, Any], ...]
    cells: tuple[PlannedCell, ...]
    jobs: tuple[Job, ...]
    warnings: tuple[str, ...]
    sharing: Mapping[str, Any]
    gate: str | None = None

    def text(self) -> str:
        """plan.json, byte for byte the same for the same plan."""
        return "".join(self.pieces())

    def pieces(self) -> Iterator[str]:
        """The same, part by part, so that a large plan is never in memory as text."""
        texts = _Texts()
        opening = "{"
        for name in sorted(["lethe", *(one.name for one in fields(self))]):
            yield f'{opening}\n "{name}": '
            if name == "jobs":
                yield from _listed(map(texts.pieces, self.jobs), "\n ")
            elif name == "cells":
                yield from _listed(((written(cell, "\n  "),) for cell in self.cells), "\n ")
            else:
                yield written(VERSION if name == "lethe" else getattr(self, name), "\n ")
            opening = ","
        yield "\n}\n"


def _listed(items: Iterable[Iterable[str]], margin: str) -> Iterator[str]:
    """The items of a list of plan.json, whose end stands behind this margin."""
    opening = "["
    for item in items:
        yield f"{opening}{margin} "
        yield from item
        opening = ","
    yield "[]" if opening == "[" else f"{margin}]"


class _Texts:
    """The texts of jobs in plan.json; what several have in common is written once."""

    def __init__(self) -> None:
        self._values: dict[int, str] = {}  # by the ids of objects that live as long as the plan
        self._forms: dict[tuple[Hashable, ...], str] = {}

    def pieces(self, job: Job) -> Iterator[str]:
        """A job's text, in one part unless it reads very much."""
        if len(job.inputs) > MANY:
            yield from _many_pieces(job)
            return
        alike = (
            job.after, job.backend, job.code, job.environment, id(job.execution), job.kind, job.lock, job.output,
            id(job.provenance), id(job.resources), job.what,
        )  # fmt: skip
        form = self._forms.get(alike)
        if form is None:
            form = self._forms[alike] = self._form(job)
        edges = "[\n    " + ",\n    ".join(map(_edge_text, job.inputs)) + "\n   ]" if job.inputs else "[]"
        cell, config, cost, settings = map(self._value, (job.cell, job.config, job.cost, job.settings))
        yield form % (cell, config, cost, encode_basestring(job.fingerprint), encode_basestring(job.id), edges, settings)

    def _form(self, job: Job) -> str:
        """What the texts of jobs have in common that differ in what is their `OWN` alone, as `%` fills it."""
        texts = {name: "%s" if name in OWN else self._value(getattr(job, name)).replace("%", "%%") for name in JOB_FIELDS}
        return "{" + ",".join(f'\n   "{name}": {text}' for name, text in texts.items()) + "\n  }"

    def _value(self, value: Any) -> str:
        if not isinstance(value, dict):
            return written(value, "\n   ")
        known = self._values.get(id(value))
        if known is None:
            known = self._values[id(value)] = written(value, "\n   ")
        return known


def _many_pieces(job: Job) -> Iterator[str]:
    """The text of a job that reads very much, part by part. Where its config is its settings, both are written once."""
    settings = list(pieces(job.settings, "\n   ", 2))
    opening = "{"
    for name in JOB_FIELDS:
        yield f'{opening}\n   "{name}": '
        if name == "inputs":
            yield from _listed(((_edge_text(edge),) for edge in job.inputs), "\n   ")
        else:
            value = getattr(job, name)
            yield from settings if value is job.settings else pieces(value, "\n   ", 2)
        opening = ","
    yield "\n  }"


def _edge_text(edge: Edge) -> str:
    """An input of a job in plan.json: what `written` would, for there are more of these than of anything else."""
    name, job, path, kind = map(encode_basestring, (edge.name, edge.job, edge.path, edge.type))
    return (
        f'{{\n     "fingerprint": "{edge.fingerprint}",\n     "job": {job},\n     "name": {name},\n     "path": {path},'
        f'\n     "required": {"true" if edge.required else "false"},\n     "type": {kind}\n    }}'
    )


def as_data(job: Job) -> dict[str, Any]:
    """A job as plan.json has it."""
    return {**asdict(job), "inputs": [{**asdict(edge), "path": edge.path} for edge in job.inputs]}


def read_plan(path: Path) -> Plan:
    """Read a plan.json. Raises TreeError when there is none, or it is not one of this version."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.pop("lethe") != VERSION:
            raise TreeError(f"{path} was written by another version of Lethe. Compile the study again.")
        jobs = tuple(_job(job) for job in found.pop("jobs"))
        cells = tuple(_planned_cell(cell) for cell in found.pop("cells"))
        rules, warnings = tuple(found.pop("rules")), tuple(found.pop("warnings"))
        return Plan(**found, rules=rules, cells=cells, jobs=jobs, warnings=warnings)
    except OSError as error:
        raise TreeError(f"cannot read {path}: {error.strerror}. Compile the study first.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TreeError(f"{path} is not a plan: {error}. Compile the study again.") from error


def _job(found: dict[str, Any]) -> Job:
    return Job(**{**found, "inputs": tuple(map(_edge, found["inputs"])), "after": tuple(found["after"])})


def _edge(found: dict[str, Any]) -> Edge:
    return Edge(found["name"], found["job"], found["type"], found["fingerprint"], found["required"])


def _planned_cell(found: dict[str, Any]) -> PlannedCell:
    points, relearned = (tuple(PlannedPoint(**point) for point in found.pop(name, ())) for name in ("points", "relearned"))
    return PlannedCell(**{**found, "trained": tuple(found["trained"])}, points=points, relearned=relearned)


def graph(jobs: Iterable[Job]) -> nx.DiGraph[str]:
    """Jobs as nodes, an edge from each job to those that read what it makes."""
    import networkx as nx

    found: nx.DiGraph[str] = nx.DiGraph()
    for job in jobs:
        found.add_node(job.id)
        found.add_edges_from((edge.job, job.id) for edge in job.inputs)
    return found
