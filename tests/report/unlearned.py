"""A small study of unlearning: two methods, a start and a reference on a suite with metrics, and a further training of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.report.conftest import Study

METRICS = ("forget_quality", "model_utility", "forget_prob", "privleak", "mia_loss", "extraction_strength")
SUITE = "authors.few"
GONE = {
    "forget_quality": 0.4,
    "model_utility": 0.5,
    "forget_prob": 0.2,
    "privleak": -4.0,
    "mia_loss": 0.5,
    "extraction_strength": 0.1,
}
THERE = {"forget_quality": 1e-9, "model_utility": 0.6, "forget_prob": 0.9, "privleak": -98.0, "mia_loss": 0.99,
         "extraction_strength": 0.9}  # fmt: skip


@dataclass
class Unlearned(Study):
    """Cells `METHOD_few_full_tiny`, with `seeds` one for each; steps of the further training in `steps`."""

    methods: Sequence[str] = ("npo", "rmu")
    domains: Sequence[str] = ("few",)
    suites: Sequence[Mapping[str, Any]] = ({"name": SUITE, "tasks": [], "metrics": list(METRICS), "domain": "few"},)
    starts: Sequence[str] = ("full",)
    seeds: Sequence[int] = ()
    steps: Sequence[int] = ()

    def cells(self) -> list[dict[str, Any]]:
        found = []
        for cell in super().cells():
            for seed in self.seeds or (None,):
                name = cell["id"] if seed is None else f"{cell['id']}_seed{seed}"
                extra = {} if seed is None else {"seed": str(seed)}
                own = {suite["name"]: f"evaluate/{name}.{suite['name']}" for suite in self.suites}
                reference = {suite["name"]: f"evaluate/retain.{suite['name']}" for suite in self.suites if "metrics" in suite}
                again = {"relearned": self.points(name)} if self.steps else {}
                compared = {"evaluations": reference, "relearned": self.points("retain") if self.steps else []}
                found.append({**cell, **extra, "id": name, "evaluations": own, "reference": compared, **again})
        return found

    def points(self, name: str) -> list[dict[str, Any]]:
        return [{"step": step, "evaluations": {SUITE: f"evaluate/{name}.step{step}.{SUITE}"}} for step in self.steps]

    def config(self) -> dict[str, Any]:
        axes = ["method", "domain", "start", "scale", *(["seed"] if self.seeds else [])]
        return {**super().config(), "axes": axes}

    def evaluations(self) -> list[str]:
        further = [point for cell in self.cells() for point in (*cell.get("relearned", ()), *cell["reference"]["relearned"])]
        references = [job for cell in self.cells() for job in cell["reference"]["evaluations"].values()]
        again = [job for point in further for job in point["evaluations"].values()]
        return sorted({*super().evaluations(), *references, *again})

    def measured(self, model: str, values: Mapping[str, float | None], suite: str = SUITE, **facts: Any) -> None:
        """Write the scores of a model: values of metrics, null ones with a reason."""
        metrics = {
            name: {"value": value, "n": 20} | ({"reason": "nothing to compare with"} if value is None else {})
            for name, value in values.items()
        }
        job = f"evaluate/{model}.{suite}"
        folder = self.folder(job)
        folder.mkdir(parents=True)
        recorded = {"suite": suite, "version": 1, "dtype": "float32", "hardware": "x", "prompt_hash": "ab", "metrics": metrics}
        (folder / "scores.json").write_text(json.dumps({**recorded, **facts}))
        (folder / "items.jsonl").write_text("")
        self.done(job)

    def all_measured(self) -> Unlearned:
        """The reference has forgotten, the start has not; the first method is like the one, the second like the other."""
        self.measured("retain", {**GONE, "forget_quality": None, "privleak": None})
        self.measured("full_micro", THERE)
        for number, cell in enumerate(self.cells()):
            like = GONE if cell["method"] == self.methods[0] else THERE
            self.measured(cell["id"], {**like, "model_utility": like["model_utility"] + number / 100})
        return self
