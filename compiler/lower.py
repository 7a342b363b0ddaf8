"""From cells to the plan: which jobs make which artifacts from which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.backends import Part
from compiler.catalog import (
    Algorithm,
    Catalog,
    Cluster,
    Dataset,
    Domain,
    Method,
    Pretrain,
    Scale,
    Stage,
    Start,
    Suite,
    Teacher,
    Traces,
    merged,
)
from compiler.diagnostics import Diagnostic, Position, SpecError, nearest, spec_error
from compiler.expand import Cell, Expansion
from compiler.plan import Job, Plan, PlannedCell, in_order
from compiler.source import PathKey, Tree
from compiler.study import Study
from compiler.workshop import EMPTY, Request, Workshop

READABLE = "checkpoint.hf"  # the checkpoint type that every consumer reads


def lower(study: Study, tree: Tree, catalog: Catalog, expansion: Expansion, spec: str) -> Plan:
    """The plan of `study`. Raises SpecError with every mistake in settings that its jobs meet."""
    asked = tree.at(("cluster",))
    cluster = catalog.get(Cluster, study.cluster, asked)
    workshop = Workshop(study.cluster, cluster, asked, study.tracking)
    planner = _Planner(study, tree, catalog, workshop)
    cells = tuple(planner.cell(cell) for cell in expansion.cells)
    planner.report(cells)
    planner.warn_of_backends()
    planner.warn_of_limits(cluster)
    if workshop.wrong:
        raise SpecError(workshop.wrong)
    return Plan(
        study=study.study, about=study.about, spec=spec, cluster=study.cluster, executor=cluster.executor,
        store=cluster.store, axes=study.axes.model_dump(), cells=cells,
        rules=tuple({"name": e.name, "action": e.action, "why": e.why, "touched": e.touched} for e in expansion.effects),
        jobs=in_order(workshop.unique_jobs(), tree.at(())), warnings=tuple(sorted(planner.warnings)),
    )  # fmt: skip


@dataclass
class _Planner:
    """Knows the study and the catalog; asks the workshop for each job."""

    study: Study
    tree: Tree
    catalog: Catalog
    workshop: Workshop
    warnings: set[str] = field(default_factory=set)

    # --- the parts of a cell -------------------------------------------------------------------------------------

    def cell(self, cell: Cell) -> PlannedCell:
        """Every job that trains and measures one cell."""
        method = self.catalog.get(Method, cell.method, self.axis_value("method", cell.method))
        self.check_overrides(cell, method)
        start = self.start(cell.start, cell.scale)
        trained = start
        for number in range(len(method.stages)):
            trained = self.stage(cell, method, number, trained)
        suites = self.study.evaluate.suites
        before = {s: self.evaluate(s, start, f"{cell.start}_{cell.scale}", None).id for s in suites}
        after = {s: self.evaluate(s, trained, cell.id, cell).id for s in suites}
        return PlannedCell(cell.id, cell.axes, trained.id, before, after)

    def stage(self, cell: Cell, method: Method, number: int, start: Job) -> Job:
        """Train one stage from `start`, and convert what it leaves when nobody else can read it."""
        stage = method.stages[number]
        at = self.catalog.at("methods", cell.method, ("stages", number, "algorithm"))
        algorithm = self.catalog.get(Algorithm, stage.algorithm, at)
        backend_at = self.catalog.at("algorithms", stage.algorithm, ("backend",))
        part = self.workshop.part(algorithm.backend, stage.algorithm, backend_at)
        last = number == len(method.stages) - 1
        name = cell.id if last else f"{cell.id}.{number + 1}_{stage.algorithm}"
        data_at = self.catalog.at("methods", cell.method, ("stages", number, "dataset"))
        data = self.dataset(cell, stage, data_at, part)
        self.warn_unless_known("algorithms", stage.algorithm, "algorithm")
        trained = self.workshop.make(
            Request(
                id=f"train/{name}", kind="train", backend=algorithm.backend, what=stage.algorithm,
                settings=self.stage_settings(cell, stage, number),
                execution=self.below("algorithms", stage.algorithm, "execution"),
                resources=algorithm.resources, inputs={"start": start, "data": data}, cell=cell.axes,
                whose=f"algorithm {stage.algorithm}", asked=at, given=self.given(cell),
            )
        )  # fmt: skip
        return trained if trained.output == READABLE else self.convert(trained, name, cell, at)

    def convert(self, trained: Job, name: str, cell: Cell, at: Position) -> Job:
        """A checkpoint that every consumer reads, from the trainer's own shards."""
        return self.workshop.make(
            Request(
                id=f"convert/{name}", kind="convert", backend=trained.backend, what="convert", resources="cpu",
                inputs={"shards": trained}, cell=cell.axes, whose="conversion", asked=at, output=READABLE,
            )
        )  # fmt: skip

    def stage_settings(self, cell: Cell, stage: Stage, number: int) -> Tree:
        """An algorithm's settings, then the domain's, the method's and the rules' on top, in that order."""
        settings = self.catalog.below("algorithms", stage.algorithm, ("settings",))
        if stage.algorithm in self.domain(cell.domain).algorithms:
            settings = merged(settings, self.catalog.below("domains", cell.domain, ("algorithms", stage.algorithm)))
        if stage.settings:
            settings = merged(settings, self.catalog.below("methods", cell.method, ("stages", number, "settings")))
        for rule in cell.overrides:
            if rule.algorithm == stage.algorithm:
                at: dict[PathKey, Position] = {(rule.setting,): rule.position}
                settings = merged(settings, Tree(rule.position.file, {rule.setting: rule.value}, at, at))
        return settings

    def dataset(self, cell: Cell, stage: Stage, at: Position, part: Part) -> Job:
        """What a stage trains on, of the type and in the format that its algorithm's backend reads."""
        dataset, file_format = self.catalog.get(Dataset, stage.dataset, at), part.dataset_format
        if dataset.type != part.reads:
            message = f"algorithm '{stage.algorithm}' trains on {part.reads}; dataset '{stage.dataset}' is {dataset.type}"
            fitting = [
                name for name in self.catalog.names("datasets") if self.catalog.get(Dataset, name, at).type == part.reads
            ]
            raise spec_error(at, message, f"valid here: {', '.join(sorted(fitting))}")
        inputs = {"rows": self.rows(cell.domain)}
        name = f"{stage.dataset}_{cell.domain}"
        if dataset.traces:
            inputs["traces"] = self.traces(cell, stage.dataset, dataset.traces, inputs["rows"])
            name = inputs["traces"].name
        own = {"type": dataset.type, "format": file_format, "domain": cell.domain}
        return self.workshop.make(
            Request(
                id=f"build/{name}" + (f".{file_format}" if file_format != "jsonl" else ""), kind="build", backend="native",
                what="build", settings=self.below("datasets", stage.dataset, "settings"), resources="cpu", inputs=inputs,
                whose=f"dataset {stage.dataset}", asked=at, output=dataset.type, given=own | self.given(cell),
            )
        )  # fmt: skip

    def traces(self, cell: Cell, name: str, traces: Traces, rows: Job) -> Job:
        """Sampled, graded answers of the cell's start model or of a teacher."""
        own = traces.model == "start"
        model = self.start(cell.start, cell.scale) if own else self.teacher(traces.model, name)
        settings = self.catalog.below("datasets", name, ("traces", "settings"))
        if name in self.domain(cell.domain).datasets:
            settings = merged(settings, self.catalog.below("domains", cell.domain, ("datasets", name)))
        execution = self.catalog.below("datasets", name, ("traces", "execution")) if traces.execution else EMPTY
        return self.workshop.make(
            Request(
                id=f"generate/{name}_{cell.domain}" + (f"_{cell.start}_{cell.scale}" if own else ""), kind="generate",
                backend=traces.backend, what="generate", settings=settings, execution=execution, resources=traces.resources,
                inputs={"model": model, "rows": rows}, whose=f"traces of dataset {name}", given=self.given(cell),
                asked=self.catalog.at("datasets", name, ("traces", "backend")),
            )
        )  # fmt: skip

    def evaluate(self, suite: str, model: Job, name: str, cell: Cell | None) -> Job:
        """One suite on one checkpoint."""
        asked = self.tree.at(("evaluate", "suites", self.study.evaluate.suites.index(suite)))
        found = self.catalog.get(Suite, suite, asked)
        rows = self.listed_rows("suites", suite, ("domains",), found.domains)
        tasks = [self.task(domain) for domain in found.domains]
        return self.workshop.make(
            Request(
                id=f"evaluate/{name}.{suite}", kind="evaluate", backend=found.backend, what="evaluate",
                settings=self.below("suites", suite, "settings"), execution=self.below("suites", suite, "execution"),
                resources=found.resources, inputs={"model": model, **rows}, cell=cell.axes if cell else None,
                whose=f"suite {suite}", asked=asked, given={"suite": suite, "tasks": tasks},
            )
        )  # fmt: skip

    # --- what cells share ----------------------------------------------------------------------------------------

    def listed_rows(self, section: str, name: str, path: PathKey, domains: Sequence[str]) -> dict[str, Job]:
        """The rows of every domain that a definition lists at `path`: inputs with the domains' names."""
        found = {}
        for number, domain in enumerate(domains):
            at = self.catalog.at(section, name, (*path, number))
            if domain in ("model", "start"):
                raise spec_error(at, f"no domain can be called '{domain}' here: a job has an input of that name", "rename it")
            found[domain] = self.rows(domain, at)
        return found

    def rows(self, domain: str, asked: Position | None = None) -> Job:
        """A domain's rows."""
        source = str(self.domain(domain, asked).settings.get("source"))
        self.warn_unless_known("sources", source, "data source")
        return self.workshop.make(
            Request(
                id=f"prepare/{domain}", kind="prepare", backend="native", resources="cpu",
                what="prepare_hub" if source == "hub" else "prepare",
                settings=self.below("domains", domain, "settings"), whose=f"domain {domain}",
                asked=self.catalog.at("domains", domain),
            )
        )  # fmt: skip

    def start(self, name: str, scale: str) -> Job:
        """The checkpoint a cell begins from."""
        start = self.start_of(name, scale)
        if start.pretrain:
            self.check_ends(name, scale)
            return self.pretrain(name, scale, start.pretrain)
        at = self.catalog.at("scales", scale, ("starts", name))
        return self.fetch(f"{name}_{scale}", start.hub, start.revision, at, prompt=start.prompt)

    def pretrain(self, name: str, scale: str, made: Pretrain) -> Job:
        """A start model that the plan trains itself."""
        path: PathKey = ("starts", name, "pretrain")
        inputs = self.listed_rows("scales", scale, (*path, "domains"), made.domains)
        if made.start is not None:
            inputs["start"] = self.start(made.start, scale)
        return self.workshop.make(
            Request(
                id=f"pretrain/{name}_{scale}", kind="pretrain", backend="native", what="pretrain", inputs=inputs,
                settings=self.catalog.below("scales", scale, (*path, "settings")), resources=made.resources,
                whose=f"start {name} of scale {scale}", asked=self.catalog.at("scales", scale, path),
            )
        )  # fmt: skip

    def teacher(self, name: str, dataset: str) -> Job:
        """A teacher's checkpoint."""
        found = self.catalog.get(Teacher, name, self.catalog.at("datasets", dataset, ("traces", "model")))
        return self.fetch(name, found.hub, found.revision, self.catalog.at("teachers", name))

    def fetch(self, name: str, hub: str | None, revision: str | None, at: Position, **given: Any) -> Job:
        """A hub model at a revision."""
        if hub is None or revision is None:
            raise spec_error(at, "a start needs 'hub' and 'revision', or 'pretrain'")
        if len(revision) != 40:
            self.warnings.add(f"{hub} is named at revision '{revision}', which can move; name a commit")
        settings = Tree(at.file, {"hub": hub, "revision": revision}, {(): at})
        return self.workshop.make(
            Request(
                id=f"fetch/{name}", kind="fetch", backend="native", what="fetch", settings=settings, resources="cpu",
                whose=f"model {hub}", asked=at, given=given,
            )
        )  # fmt: skip

    def report(self, cells: Sequence[PlannedCell]) -> Job:
        """The table at the end."""
        asked = self.tree.at(("study",))
        named = {job for cell in cells for job in (*cell.before.values(), *cell.after.values())}
        scores = {job.id: job for job in self.workshop.unique_jobs() if job.id in named}
        settings = {
            "study": self.study.study, "title": self.study.about, "axes": list(cells[0].axes),
            "confidence": self.study.evaluate.confidence,
            "suites": [self.suite_for_report(name) for name in self.study.evaluate.suites],
            "cells": [{"id": c.id, **c.axes, "evaluations": dict(c.after), "baseline": dict(c.before)} for c in cells],
        }  # fmt: skip
        return self.workshop.make(
            Request(
                id=f"report/{self.study.study}", kind="report", backend="native", what="report", resources="cpu",
                settings=Tree(asked.file, settings, {(): asked}), inputs=scores, whose="report", asked=asked,
                inputs_required=False,
            )
        )  # fmt: skip

    def task(self, domain: str) -> dict[str, Any]:
        """A domain's evaluation rows as one task of a suite. A wrong number of them is the domain's mistake, told there."""
        found = self.domain(domain)
        items = found.settings.get("eval")
        return {"name": domain, "grader": found.grader, "items": items if isinstance(items, int) and items > 0 else 1}

    def suite_for_report(self, name: str) -> dict[str, Any]:
        suite = self.catalog.get(Suite, name, self.tree.at(("evaluate", "suites")))
        tasks = suite.domains or list(suite.settings.get("tasks", []))
        return {"name": name, "tasks": tasks, "domain": suite.domains[0] if len(suite.domains) == 1 else None}

    # --- look-ups ------------------------------------------------------------------------------------------------

    def domain(self, name: str, asked: Position | None = None) -> Domain:
        return self.catalog.get(Domain, name, asked or self.axis_value("domain", name))

    def start_of(self, name: str, scale: str, asked: Position | None = None) -> Start:
        found = self.catalog.get(Scale, scale, self.axis_value("scale", scale))
        if name not in found.starts:
            at = asked or self.axis_value("start", name)
            raise spec_error(at, f"scale '{scale}' has no start '{name}'", nearest(name, found.starts))
        return found.starts[name]

    def given(self, cell: Cell) -> dict[str, Any]:
        """What a cell's domain and start say to whatever backend asks for it."""
        start = self.start_of(cell.start, cell.scale)
        return {"grader": self.domain(cell.domain).grader, "prompt": start.prompt}

    def below(self, section: str, name: str, field_name: str) -> Tree:
        """A field of a definition, empty when it is left out."""
        has = field_name in self.catalog.trees[section, name].data
        return self.catalog.below(section, name, (field_name,)) if has else EMPTY

    def axis_value(self, axis: str, value: str) -> Position:
        """Where the study names a value of an axis."""
        values = getattr(self.study.axes, axis)
        return self.tree.at(("axes", axis, values.index(value)) if value in values else ("axes", axis))

    # --- what else may be wrong ----------------------------------------------------------------------------------

    def check_overrides(self, cell: Cell, method: Method) -> None:
        """A rule's setting for an algorithm that the cell's method does not have would be silently lost."""
        algorithms = [stage.algorithm for stage in method.stages]
        for rule in cell.overrides:
            if rule.algorithm not in algorithms:
                message = f"method '{cell.method}' has no algorithm '{rule.algorithm}' to set"
                self.workshop.wrong.append(Diagnostic(rule.at, message, nearest(rule.algorithm, algorithms)))

    def check_ends(self, name: str, scale: str) -> None:
        """A start that goes on from another must come to one made from nothing."""
        seen, here = [name], self.start_of(name, scale).pretrain
        while here and here.start is not None:
            if here.start in seen:
                chain = " -> ".join([*seen, here.start])
                raise spec_error(self.catalog.at("scales", scale, ("starts", name)), f"starts go round in a circle: {chain}")
            asked = self.catalog.at("scales", scale, ("starts", seen[-1], "pretrain", "start"))
            seen.append(here.start)
            here = self.start_of(here.start, scale, asked).pretrain

    def warn_of_limits(self, cluster: Cluster) -> None:
        jobs, allowed = len(self.workshop.unique_jobs()), cluster.limits.submitted
        if jobs > allowed:
            self.warnings.add(f"the plan has {jobs} jobs; the cluster lets a user submit {allowed} at a time")

    def warn_of_backends(self) -> None:
        for job in self.workshop.unique_jobs():
            self.warn_unless_known("backends", job.backend, "backend")

    def warn_unless_known(self, known: str, name: str, what: str) -> None:
        if name not in self.workshop.manifest[known]:
            self.warnings.add(f"this version's runtime has no {what} '{name}' yet: jobs that need it stop with a message")
