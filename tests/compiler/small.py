"""Small studies on the toy catalog, written for one test each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.compiler.project import Project, Result

AXES: Mapping[str, list[Any]] = {"method": ["gt_sft"], "domain": ["sums"], "start": ["base"], "scale": ["nano"]}
BASE: Mapping[str, Any] = {
    "study": "toy", "about": "A small study", "cluster": "here", "axes": AXES, "evaluate": {"suites": ["harm"]},
    "tracking": {"wandb": "disabled"},
}  # fmt: skip
SEVERAL: Mapping[str, list[Any]] = {**AXES, "method": ["gt_sft", "on_rl"], "domain": ["sums", "facts"]}
COMBINED: Mapping[str, Any] = {
    "domains": {
        "first_sums": {"about": "One after the other", "sequence": ["sums", "facts"]},
        "first_facts": {"about": "The other way round", "sequence": ["facts", "sums"]},
        "both": {"about": "Together", "mix": {"sums": 1, "facts": 3}, "algorithms": {"sft": {"max_length": 64}}},
        "pooled": {"about": "Pooled", "iid": ["sums", "facts"], "algorithms": {"sft": {"max_length": 64}}},
    }
}


def validate(project: Project, **changes: Any) -> Result:
    """Say whether the base study, with some of its top-level keys changed, is right."""
    project.spec.write_text(json.dumps({**BASE, **changes}, indent=1))
    return project.lethe("validate", "specs/toy.yaml")


def plan(project: Project, **changes: Any) -> dict[str, Any]:
    """The plan of the base study with some of its top-level keys changed."""
    assert validate(project, **changes).code == 0, project.lethe("validate", "specs/toy.yaml").err
    return project.compile()


def cells(project: Project, **changes: Any) -> list[str]:
    return [cell["id"] for cell in plan(project, **changes)["cells"]]


def jobs(found: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The jobs of one kind, by name."""
    return {job["id"].split("/", 1)[1]: job for job in found["jobs"] if job["kind"] == kind}


def inputs(job: Mapping[str, Any]) -> dict[str, str]:
    return {edge["name"]: edge["job"] for edge in job["inputs"]}
