"""From a request for a job to the job: settings checked against its backend, config rendered, fingerprint taken.

Jobs are made bottom-up, so that a job's inputs have their fingerprints before it. Two requests that come to the same
fingerprint are one job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from compiler import backends
from compiler.diagnostics import Diagnostic, Position, nearest, spec_error
from compiler.fitness.models import Model
from compiler.language.places import Cluster
from compiler.language.source import PathKey, Tree, merged
from compiler.language.study import Tracking
from compiler.lower.alike import Family, key_of, mould, numbers, shown, with_places_of
from compiler.lower.amend import Amendment, amended
from compiler.lower.cost import Cost, job_cost
from compiler.lower.sources import GIVEN, Sources
from compiler.plan.fingerprint import Fingerprints, decisive
from compiler.plan.plan import Edge, Job
from compiler.plan.provenance import provenance
from compiler.text import canonical_json
from compiler.watched import Known

MANIFEST = Path(__file__).parents[2] / "runtime" / "manifest.json"

EMPTY = Tree("", {})
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Request(NamedTuple):
    """A job before its config is rendered. `whose` and `asked` are for messages; `given` is what the cell's domain and start
    say to whatever backend asks for it; `cost` counts what the settings come to, once they are right; `model` is what a job
    makes from nothing."""

    id: str
    kind: str
    backend: str
    what: str
    resources: str
    whose: str
    asked: Position
    settings: Tree = EMPTY
    execution: Tree = EMPTY
    inputs: Mapping[str, Job] = NOTHING
    given: Mapping[str, Any] = NOTHING
    cell: Mapping[str, str] | None = None
    output: str | None = None
    inputs_required: bool = True
    cost: Known[Cost] | None = None
    environment: str | None = None
    model: Model | None = None


@dataclass(frozen=True, slots=True)
class Examined:
    """Settings and execution that are right, and their config as the fingerprint sees it (`Part.decisive_config`).

    `fingerprints` are those of jobs with that config.
    """

    settings: Mapping[str, Any]
    execution: Mapping[str, Any]
    config: Any
    fingerprints: Fingerprints


@dataclass(frozen=True, slots=True)
class ResourceClass:
    """A class of the cluster's resources, once for all who ask for it: what it comes to, where the cluster says that, and the
    cost of a job of which nothing else is known."""

    values: Mapping[str, Any]
    place: Tree
    cost: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What jobs have in common that ask for the same settings: the request that was first, and what became of it."""

    request: Request
    part: backends.Part
    code: int
    examined: Examined
    sources: Sources
    provenance: Mapping[str, str]
    resources: ResourceClass


@dataclass
class Workshop:
    """Makes each job of one plan once, and collects what is wrong with the requests."""

    cluster_name: str
    cluster: Cluster
    cluster_at: Position
    tracking: Tracking
    cluster_tree: Tree = EMPTY
    amendments: tuple[Amendment, ...] = ()
    jobs: dict[str, Job] = field(default_factory=dict)
    wrong: list[Diagnostic] = field(default_factory=list)
    _given: dict[tuple[str, str, int], tuple[Mapping[str, Any], str]] = field(default_factory=dict)
    _prepared: dict[tuple[str | int, ...], Prepared] = field(default_factory=dict)
    _edges: dict[tuple[str, str, bool], Edge] = field(default_factory=dict)
    _by_fingerprint: dict[str, Job] = field(default_factory=dict)
    _kept: dict[str, dict[int, Position]] = field(default_factory=dict)
    _examined: dict[tuple[str, str, str, bytes, str], Examined] = field(default_factory=dict)
    _hows: dict[tuple[str | int, ...], tuple[Tree, str, Tree]] = field(default_factory=dict)
    _job_costs: dict[tuple[Cost, str], Mapping[str, Any]] = field(default_factory=dict)
    _classes: dict[str, ResourceClass] = field(default_factory=dict)
    _executions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _families: dict[tuple[Hashable, ...], Family | None] = field(default_factory=dict)
    sources: dict[str, Sources] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    read: set[Path] = field(default_factory=set)
    manifest: Mapping[str, Any] = field(default_factory=lambda: json.loads(MANIFEST.read_text(encoding="utf-8")))

    def make(self, request: Request) -> Job:
        """The job asked for, or the equal one that is there. Mistakes in its settings are kept in `wrong`."""
        prepared = self._prepare(request)
        if prepared is None or self.wrong:
            return self.jobs.setdefault(request.id, _unrendered(request, self._part_of(request)))
        job = self._rendered(request, prepared)
        known = self.jobs.get(request.id)
        if known is not None:
            return _same(known, job, request)
        twin = self.jobs[request.id] = self._by_fingerprint.setdefault(job.fingerprint, job)
        if twin is job:
            self.sources[job.id] = prepared.sources
        elif twin.settings != job.settings:
            raise RuntimeError(f"the config of {job.backend}'s {job.what} leaves out what {twin.id} and {job.id} differ in")
        return twin

    def _prepare(self, request: Request) -> Prepared | None:
        """What jobs have in common whose requests have the very same settings. None if they are wrong, which `wrong` keeps."""
        asked = (request.kind, request.backend, request.what, request.resources, self._given_text(request))
        key = (*asked, id(request.settings), id(request.execution))  # objects that live as long as this request, which is kept
        found = self._prepared.get(key)
        if found is None and (found := self._first_prepared(request, asked)):
            self._prepared[key] = found
        return found

    def _given_text(self, request: Request) -> str:
        """What a request's backend takes of what it is given."""
        key = (request.backend, request.what, id(request.given))
        known = self._given.get(key)
        if known is None:
            taken = self._part_of(request).takes("settings")
            text = canonical_json({name: value for name, value in request.given.items() if name in taken})
            known = self._given[key] = (request.given, text)  # which stays, as its id must
        return known[1]

    def _first_prepared(self, request: Request, asked: tuple[str, ...]) -> Prepared | None:
        part, resources = self._part_of(request), self._resources(request)
        if request.kind != "preflight":  # which tries one node of however many there are
            self._check_nodes(part, request.resources, resources.values["nodes"])
        settings = _with_given(request.settings, request.given, part.takes("settings"))
        settings = amended(settings, request.kind, [(one.label, one.settings) for one in self.amendments])
        execution, how = self._execution(request, part, resources.values)
        names = numbers(part, settings)
        alike = (*asked, id(request.execution), key_of(settings, names))
        family = self._families.get(alike)
        if family:
            examined = self._filled(request, part, settings, execution, how, family)
        else:
            examined = self._examine(request, part, settings, execution, how)
        if examined is None:
            return None
        if names and alike not in self._families:
            family = self._families[alike] = self._family(request, part, settings, execution, names)
        light = with_places_of(settings, family.first[0], names) if family else settings
        sources = Sources(light, execution, resources.place, family)
        origin = family.provenance if family else provenance(settings, GIVEN)
        return Prepared(request, part, self._code(request), examined, sources, origin, resources)

    def _execution(self, request: Request, part: backends.Part, resources: Mapping[str, Any]) -> tuple[Tree, str]:
        """How a job is run, and that as text; for all jobs of a kind that ask for the very same the very same."""
        key = (request.kind, part.backend, part.what, id(request.execution), request.resources)
        if key not in self._hows:
            tree = _with_given(request.execution, self._execution_given(resources), part.takes("execution"))
            tree = amended(tree, request.kind, [(one.label, one.execution) for one in self.amendments])
            self._hows[key] = (tree, canonical_json(tree.data), request.execution)  # which stays, as its id must
        tree, text, _ = self._hows[key]
        return tree, text

    def _examine(self, request: Request, part: backends.Part, settings: Tree, execution: Tree, how: str) -> Examined | None:
        """What a job's settings come to, once for all jobs that have the same. None if they are wrong, which `wrong` keeps.
        `how` is the execution as text."""
        said = canonical_json(settings.data)
        key = (request.kind, part.backend, part.what, hashlib.sha256(said.encode()).digest(), how)
        found = self._examined.get(key)
        if found is None:
            wrong = _wrong(request, part, settings, execution)
            self.wrong += wrong
            if wrong:
                return None
            config = part.decisive_config(settings.data, execution.data)
            own = config is settings.data or canonical_json(config) == said
            text = decisive(config, said if own else None)
            config = settings.data if own else config  # a large one is there once
            shared = self._shared(execution, how)
            found = self._examined[key] = Examined(settings.data, shared, config, self._fingerprints(request, text))
        return found

    def _filled(
        self, request: Request, part: backends.Part, settings: Tree, execution: Tree, how: str, family: Family
    ) -> Examined | None:
        """The same for settings of a family: all were right that there were, and these differ from them in some numbers."""
        wrong = part.check_numbers(family.names, settings, execution, request.whose)
        self.wrong += wrong
        if wrong:
            return None
        values, mould = family.numbers_of(settings.data), family.mould
        made = self._fingerprints(request, mould.decisive_of(shown(values)))
        return Examined(settings.data, self._shared(execution, how), mould.config_of(values), made)

    def _shared(self, execution: Tree, how: str) -> Mapping[str, Any]:
        """How a job is run; what is equal is one object."""
        data: Mapping[str, Any] = self._executions.setdefault(how, execution.data)
        return data

    def _family(
        self, request: Request, part: backends.Part, settings: Tree, execution: Tree, names: tuple[str, ...]
    ) -> Family | None:
        """What settings have in common that differ from these, which are right, in the numbers of these `names`."""
        made = mould(part, settings.data, execution.data, names)
        first = (settings, request.settings, request.execution)
        return Family(frozenset(names), made, provenance(settings, GIVEN), first) if made else None

    def keep(self, job: Job, step: int, asked: Position) -> None:
        """Have a training keep an intermediate checkpoint, for `asked`."""
        self._kept.setdefault(job.id, {})[step] = asked

    def finish(self) -> None:
        """Tell every training what it must keep, and check that it can; afterwards no job is made any more."""
        if not self._kept:
            return
        by_id, changed = {job.id: job for job in self.jobs.values()}, dict[str, Job]()
        for name, steps in self._kept.items():
            job = by_id[name]
            part = self.part(job.backend, job.what, self.cluster_at)
            if "keep" not in part.takes("execution"):
                at = next(iter(steps.values()))
                message = f"backend '{job.backend}' keeps no intermediate checkpoints of '{job.what}'"
                self.wrong.append(Diagnostic(at, message, "begin from, and measure, final checkpoints only"))
                continue
            if self.wrong:
                continue
            places: dict[PathKey, Position] = {("keep",): next(iter(steps.values()))}
            kept = Tree(self.cluster_at.file, {"keep": sorted(steps)}, places, places).labelled("what reads its checkpoints")
            known = self.sources[name]
            execution = merged(known.execution, kept)
            self.wrong += part.check_rules(known.settings, execution, f"training {job.name}")
            self.sources[name] = replace(known, execution=execution)
            changed[name] = replace(job, execution=execution.data)
        self.jobs = {asked: changed.get(job.id, job) for asked, job in self.jobs.items()}

    def forget(self) -> None:
        """Let go of all by which jobs with equal settings are made quickly, once nearly all are made."""
        for known in (self._given, self._prepared, self._examined, self._families, self._hows, self._edges):
            known.clear()

    def has_part(self, backend: str, what: str) -> bool:
        """Whether a backend has a part of that name."""
        return backends.exists(backend, what)

    def unique_jobs(self) -> list[Job]:
        """Every job once, in the order in which they were first asked for."""
        return list({job.id: job for job in self.jobs.values()}.values())

    def part(self, backend: str, what: str, asked: Position) -> backends.Part:
        """A backend's part, if the cluster has the environment it needs."""
        found = backends.part(backend, what, asked)
        if found.environment not in self.cluster.environments:
            message = f"cluster '{self.cluster_name}' has no environment '{found.environment}', which backend '{backend}' needs"
            raise spec_error(self.cluster_at, message, nearest(found.environment, self.cluster.environments))
        return found

    def _part_of(self, request: Request) -> backends.Part:
        return self.part(request.backend, request.what, request.asked)

    def _rendered(self, request: Request, prepared: Prepared) -> Job:
        """The job of a request whose settings are right."""
        examined, resources, part = prepared.examined, prepared.resources, prepared.part
        output = request.output or str(part.output)
        inputs = {name: made.fingerprint for name, made in request.inputs.items()}
        if request.model:
            self.models[request.id] = request.model
        return Job(
            request.id, request.kind, request.backend, request.what, request.cell,
            tuple([self._edge(name, made, request.inputs_required) for name, made in request.inputs.items()]),
            output, prepared.code, examined.settings, prepared.provenance, examined.config, examined.execution,
            resources.values,
            request.environment or part.environment, self._cost(request, examined.settings, resources),
            examined.fingerprints.of(inputs, output),
        )  # fmt: skip

    def _code(self, request: Request) -> int:
        """The version of the runtime's code for a kind of job."""
        return int(self.manifest["kinds"].get(request.kind, {}).get("version", 0))

    def _fingerprints(self, request: Request, config: str) -> Fingerprints:
        return Fingerprints(request.kind, request.backend, request.what, self._code(request), config)

    def _cost(self, request: Request, settings: Mapping[str, Any], resources: ResourceClass) -> Mapping[str, Any]:
        """What is known of a job's cost before all jobs are; equal ones are one object."""
        if request.cost is None:
            return resources.cost
        cost = self.costs[request.id] = request.cost.of(settings)
        key = (cost, request.resources)
        if key not in self._job_costs:
            self._job_costs[key] = job_cost(cost, resources.values)
        return self._job_costs[key]

    def _edge(self, name: str, made: Job, required: bool) -> Edge:
        """An input; all who read the same under the same name have the very same."""
        key = (name, made.id, required)
        if key not in self._edges:
            self._edges[key] = Edge(name, made.id, made.output, made.fingerprint, required)
        return self._edges[key]

    def _resources(self, request: Request) -> ResourceClass:
        """The class of resources that a request names."""
        name = request.resources
        if name not in self._classes:
            found = self.cluster.resources.get(name)
            if found is None:
                message = f"cluster '{self.cluster_name}' has no resources '{name}', which the {request.whose} asks for"
                raise spec_error(self.cluster_at, message, nearest(name, self.cluster.resources))
            values = {"class": name, **found.model_dump()}
            place = self.cluster_tree.below(("resources", name)) if self.cluster_tree.data else EMPTY
            self._classes[name] = ResourceClass(values, place.labelled(f"cluster {self.cluster_name}"), job_cost(None, values))
        return self._classes[name]

    def _execution_given(self, resources: Mapping[str, Any]) -> dict[str, Any]:
        """What the cluster and the study decide of how a job runs."""
        tracked, nodes = self.tracking.wandb != "disabled", resources["nodes"]
        devices = nodes * max(1, resources["gpus"])
        return {"devices": devices, "nodes": nodes, "report_to": "wandb" if tracked else "none"}

    def _check_nodes(self, part: backends.Part, name: str, nodes: int) -> None:
        """Several nodes are for jobs that can use them, on a cluster that has them."""
        message = None
        if nodes > 1 and self.cluster.executor == "local":
            message = f"resources '{name}' ask for {nodes} nodes, and cluster '{self.cluster_name}' is this machine"
        elif nodes > 1 and "nodes" not in part.takes("execution"):
            message = f"resources '{name}' ask for {nodes} nodes, and '{part.what}' of backend '{part.backend}' runs on one"
        if message:
            tree = self.cluster_tree.below(("resources", name)) if self.cluster_tree.data else EMPTY
            at = tree.at(("nodes",)) if tree.data else self.cluster_at
            self.wrong += [] if any(d.message == message for d in self.wrong) else [Diagnostic(at, message, "ask for one node")]


def _same(known: Job, job: Job, request: Request) -> Job:
    """The job of an earlier request of this id, which must have asked for the same."""
    if known.fingerprint != job.fingerprint or (known.id == job.id and known.execution != job.execution):
        message = f"two different jobs would have the name '{request.id}'"
        raise spec_error(request.asked, message, "name the definitions differently")
    return known


def _wrong(request: Request, part: backends.Part, settings: Tree, execution: Tree) -> list[Diagnostic]:
    """What is wrong with what a request asks for."""
    wrong = part.check("settings", settings, request.whose) + part.check("execution", execution, request.whose)
    wrong = wrong or part.check_rules(settings, execution, request.whose)
    return wrong or part.check_options(settings, execution, request.whose)


def _with_given(tree: Tree, given: Mapping[str, Any], taken: frozenset[str]) -> Tree:
    """`tree` with those given values that the backend's schema knows and the tree does not set itself."""
    extra = {name: value for name, value in given.items() if name in taken and name not in tree.data}
    return Tree(tree.file, {**tree.data, **extra}, tree.values, tree.keys, tree.label, tree.layers)


def _unrendered(request: Request, part: backends.Part) -> Job:
    """Stands in for a job whose settings are wrong, so that the others can be checked too; never part of a plan."""
    return Job(
        id=request.id, kind=request.kind, backend=request.backend, what=request.what, cell=None, inputs=(),
        output=request.output or str(part.output), code=0, settings={}, provenance={}, config=None, execution={}, resources={},
        environment="", cost={}, fingerprint="0" * 64,
    )  # fmt: skip
