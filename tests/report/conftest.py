"""A store and a plan of a small study, written the way that jobs and the compiler write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from runtime.job import Input, Job
from runtime.report import command
from runtime.store import markers

SUITES = ({"name": "math", "tasks": ["gsm"], "domain": "math"}, {"name": "qa", "tasks": ["trivia"], "domain": "qa"})
TASKS = {suite["name"]: suite["tasks"] for suite in SUITES}


def fingerprint(job: str) -> str:
    return sha256(job.encode()).hexdigest()


@dataclass
class Study:
    """Cells are `METHOD_DOMAIN` of start `base`; `scores` writes one evaluate job's artifact, which is missing otherwise."""

    root: Path
    methods: Sequence[str] = ("sft", "rl")
    domains: Sequence[str] = ("math", "qa")
    suites: Sequence[Mapping[str, Any]] = SUITES
    starts: Sequence[str] = ("base",)
    title: str = "A small study"
    changed: dict[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.root / "store"

    def folder(self, job: str) -> Path:
        return self.store / f"{job}-{fingerprint(job)[:12]}"

    def scores(
        self, model: str, suite: str, tasks: Mapping[str, Sequence[float]], facts: Mapping[str, Any] | None = None,
        lineage: Sequence[Mapping[str, Any]] = (),
    ) -> Path:  # fmt: skip
        """Write the scores of `model` (a cell, or a start) on `suite`: outcomes by task; `facts` override what is recorded."""
        job, folder = f"evaluate/{model}.{suite}", self.folder(f"evaluate/{model}.{suite}")
        folder.mkdir(parents=True)
        recorded = {
            "suite": suite,
            "version": 1,
            "tasks": {
                name: {"n": len(o), "correct": sum(o), "accuracy": sum(o) / len(o), "prompt_hash": fingerprint(name)}
                for name, o in tasks.items()
            },
            **(facts or {}),
        }
        items = [
            {"task": name, "id": f"{name}-{i:03}", "correct": outcome, "output": "so 4", "finished": True}
            for name, outcomes in tasks.items()
            for i, outcome in enumerate(outcomes)
        ]
        (folder / "scores.json").write_text(json.dumps(recorded))
        (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
        self.done(job, lineage=lineage)
        return folder

    def moved(self, model: str, forward: Sequence[float], reverse: Sequence[float], domain: str = "math") -> Path:
        """Write how far `model` is from its start: the divergence of each of its answers, two tokens long, on a domain."""
        job = f"evaluate/{model}.kl"
        self.folder(job).mkdir(parents=True)
        sides = {"forward": forward, "reverse": reverse}
        task = {"n": len(forward), "prompt_hash": fingerprint(domain), **{side: _summed(kls) for side, kls in sides.items()}}
        items = [
            {"task": domain, "id": f"{i:03}", "direction": side, "sample": 0, "kl": kl, "tokens": 2, "finished": True}
            for side, kls in sides.items()
            for i, kl in enumerate(kls)
        ]
        recorded = {"suite": "kl", "version": 1, "divergence": "kl", "tasks": {domain: task}}
        (self.folder(job) / "scores.json").write_text(json.dumps(recorded))
        (self.folder(job) / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
        self.done(job)
        return self.folder(job)

    def everything(self, before: Sequence[float], home: Sequence[float], away: Sequence[float]) -> Study:
        """Write all scores: `before` of every start, `home` where a cell trained, `away` elsewhere; all over the same items."""
        for start in self.starts:
            for suite in self.suites:
                self.scores(f"{start}_micro", suite["name"], dict.fromkeys(suite["tasks"], before))
        for cell in self.cells():
            for suite in self.suites:
                outcomes = home if suite["domain"] == cell["domain"] else away
                self.scores(cell["id"], suite["name"], dict.fromkeys(suite["tasks"], outcomes))
        return self

    def done(self, job: str, made_as: str | None = None, lineage: Sequence[Mapping[str, Any]] = ()) -> None:
        """Mark a job's folder as done, with its own fingerprint or another."""
        made_as = made_as or fingerprint(job)
        marker = markers.Marker(
            job, job.split("/")[0], "scores", made_as, {}, 1.0, "2026-01-31T00:00:00Z", None, tuple(lineage)
        )
        self.folder(job).mkdir(parents=True, exist_ok=True)
        markers.write(self.folder(job), marker)

    def cells(self) -> list[dict[str, Any]]:
        names = [suite["name"] for suite in self.suites]
        return [
            {
                "id": f"{method}_{domain}_{start}_micro",
                **{"method": method, "domain": domain, "start": start, "scale": "micro", "trained": [domain]},
                "evaluations": {name: f"evaluate/{method}_{domain}_{start}_micro.{name}" for name in names},
                "baseline": {name: f"evaluate/{start}_micro.{name}" for name in names},
            }
            for start in self.starts
            for method in self.methods
            for domain in self.domains
        ]

    def config(self) -> dict[str, Any]:
        axes = ["method", "domain", "start", "scale"]
        config = {"study": "small", "title": self.title, "axes": axes, "confidence": 0.95}
        return {**config, "suites": [dict(suite) for suite in self.suites], "cells": self.cells(), **self.changed}

    def evaluations(self) -> list[str]:
        cells = self.config()["cells"]
        sides = [cell[side] for cell in cells for side in ("baseline", "evaluations")]
        sides += [point["evaluations"] for cell in cells for point in cell.get("points", [])]
        sides += [there.get("divergence", {}) for cell in cells for there in (cell, *cell.get("points", []))]
        return sorted({job for side in sides for job in side.values()})

    def plan(self) -> Path:
        """Write plan.json: every evaluate job after the job that makes its model, and the report after all of them."""
        models = {job: "train/" + job.removeprefix("evaluate/").rsplit(".", 1)[0] for job in self.evaluations()}
        jobs = [_planned(model, []) for model in sorted(set(models.values()))]
        jobs += [_planned(job, [_edge("model", model, True)]) for job, model in models.items()]
        jobs.append(_planned("report/small", [_edge(job, job, False) for job in models]) | {"config": self.config()})
        path = self.root / "plan.json"
        path.write_text(json.dumps({"lethe": 1, "study": "small", "jobs": jobs}))
        return path

    def report(self, *, json: bool = False) -> int:
        return command(self.plan(), self.store, json)

    def found(self) -> dict[str, Any]:
        """Recompute the report; return its JSON, from wherever it was written."""
        self.report()
        path = max(self.store.glob("report/*/report.json"), key=lambda path: path.stat().st_mtime_ns)
        return json.loads(path.read_text())

    def result(self, suite: str, cell: str = "sft_math_base_micro") -> dict[str, Any]:
        """One result of the report's JSON."""
        cells = [found for section in self.found()["sections"] for found in section["cells"]]
        return next(found for found in cells if found["id"] == cell)["results"][suite]

    def job(self) -> Job:
        """The report job, as its contract would have it."""
        inputs = {job: Input(job, "scores", self.folder(job), fingerprint(job), False) for job in self.evaluations()}
        out = self.folder("report/small")
        out.mkdir(parents=True, exist_ok=True)
        name = "report/small"
        return Job(name, "report", "small", fingerprint(name), None, self.config(), inputs, out)


def _summed(kls: Sequence[float]) -> dict[str, float]:
    return {
        "answers": len(kls), "tokens": 2 * len(kls), "finished": len(kls), "per_answer": sum(kls) / len(kls),
        "per_token": sum(kls) / (2 * len(kls)),
    }  # fmt: skip


def _planned(job: str, inputs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": job, "kind": job.split("/")[0], "fingerprint": fingerprint(job), "config": {}, "inputs": inputs}


def _edge(name: str, job: str, required: bool) -> dict[str, Any]:
    made = fingerprint(job)
    return {"name": name, "job": job, "path": f"{job}-{made[:12]}", "fingerprint": made, "required": required}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Two methods on two domains, nothing measured yet."""
    return Study(tmp_path)


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Study]:
    """A study of another shape, in a folder of its own."""
    made: list[Study] = []

    def make(**shape: Any) -> Study:
        made.append(Study(tmp_path / str(len(made)), **shape))
        made[-1].root.mkdir()
        return made[-1]

    return make


@pytest.fixture
def small(study: Study) -> Study:
    """A study of one cell, to look closely at one comparison."""
    study.methods, study.domains = ("sft",), ("math",)
    study.scores("base_micro", "qa", {"trivia": [1, 0]})
    study.scores("sft_math_base_micro", "qa", {"trivia": [1, 0]})
    return study
