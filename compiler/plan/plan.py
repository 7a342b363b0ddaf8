"""The plan: every job of a compiled study and every edge between them, as one canonical JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx

from compiler.diagnostics import Position, TreeError, spec_error
from compiler.plan.canonical import canonical_text, plain

VERSION = 4
SHORT = 12  # hex digits of a fingerprint in a folder's name


@dataclass(frozen=True)
class Edge:
    """One input of a job. A job runs without an input that is not required (a report marks what is missing)."""

    name: str
    job: str
    type: str
    path: str
    fingerprint: str
    required: bool = True


@dataclass(frozen=True)
class Job:
    """One node of the plan. `settings` decide its result; `execution` and `resources` only how it runs.

    `config` is its config as the fingerprint sees it: with every execution value blank. `provenance` names the layer that set
    each setting. `environment` is the cluster's, and `lock` the hash of what is installed in it, None where no catalog says.
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
        return f"{self.id}-{self.fingerprint[:SHORT]}"


@dataclass(frozen=True)
class PlannedPoint:
    """One checkpoint along the way of a cell, after `step` steps of a training, or (None) at the end of one."""

    label: str
    domain: str
    step: int | None
    checkpoint: str
    after: Mapping[str, str]


@dataclass(frozen=True)
class PlannedCell:
    """One cell with the jobs that train and measure it; `before` and `after` map a suite to its evaluate job.

    `trained` names the domains whose rows it saw.
    """

    id: str
    axes: Mapping[str, str]
    train: str
    before: Mapping[str, str]
    after: Mapping[str, str]
    trained: tuple[str, ...] = ()
    points: tuple[PlannedPoint, ...] = ()


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

    def as_json(self) -> dict[str, Any]:
        """The content of plan.json."""
        return {"lethe": VERSION, **plain(self)}

    def text(self) -> str:
        """plan.json, byte for byte the same for the same plan."""
        return canonical_text(self.as_json())


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
    edges = tuple(Edge(**edge) for edge in found["inputs"])
    return Job(**{**found, "inputs": edges, "after": tuple(found["after"])})


def _planned_cell(found: dict[str, Any]) -> PlannedCell:
    points = tuple(PlannedPoint(**point) for point in found.pop("points"))
    return PlannedCell(**{**found, "trained": tuple(found["trained"])}, points=points)


def graph(jobs: Iterable[Job]) -> nx.DiGraph[str]:
    """Jobs as nodes, an edge from each job to those that read what it makes."""
    found: nx.DiGraph[str] = nx.DiGraph()
    for job in jobs:
        found.add_node(job.id)
        found.add_edges_from((edge.job, job.id) for edge in job.inputs)
    return found


def in_order(jobs: Sequence[Job], asked: Position) -> tuple[Job, ...]:
    """`jobs`, each after its inputs and what it must come after; among the free ones in the order given. Raises SpecError on a
    cycle."""
    place = {job.id: number for number, job in enumerate(jobs)}
    by_id = {job.id: job for job in jobs}
    whole = graph(jobs)
    whole.add_edges_from((before, job.id) for job in jobs for before in job.after)
    try:
        order = list(nx.lexicographical_topological_sort(whole, key=lambda name: place[name]))
    except nx.NetworkXUnfeasible as error:
        raise spec_error(asked, "the jobs depend on each other in a circle") from error
    return tuple(by_id[name] for name in order)
