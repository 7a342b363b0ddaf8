"""The model behind each job of a plan: what was fetched, or pre-trained, at the beginning of the chain that leads to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compiler.language.definitions import Scale, Shape, Teacher
from compiler.plan.plan import Job

BACK = ("start", "model", "shards", "adapter", "run")  # inputs that a checkpoint goes on from, or is read by


@dataclass(frozen=True)
class Model:
    """A model in numbers, by the name of its scale or of the teacher; whether it thinks before it answers."""

    name: str
    parameters: float
    shape: Shape | None
    thinks: bool = False


def of_scale(name: str, scale: Scale, prompt: Mapping[str, Any]) -> Model:
    """A start's model, asked with `prompt`."""
    return Model(name, scale.parameters, scale.shape, bool(prompt.get("thinking")))


def of_teacher(name: str, teacher: Teacher) -> Model | None:
    """A teacher's model, if the catalog says how large it is."""
    return Model(name, teacher.parameters, teacher.shape) if teacher.parameters else None


def models_of(made: Mapping[str, Model], jobs: Sequence[Job]) -> Mapping[str, Model]:
    """The model of every job that has one. `made` are those that jobs make from nothing; `jobs` stand after what they read."""
    found = dict(made)
    for job in jobs:
        before = [edge for edge in job.inputs if edge.name in BACK and edge.job in found] if job.id not in found else ()
        if before:
            found[job.id] = found[min(before, key=lambda edge: BACK.index(edge.name)).job]
    return found
