"""A study made small: two steps a training, few questions, few answers, and what reads checkpoints reads the first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from compiler.language.catalog import Catalog
from compiler.language.definitions import Method, Point, Stage, Suite
from compiler.language.reading import Spec
from compiler.language.study import Budget, Checkpoints, Spaced
from compiler.language.validation import Strict
from compiler.lower.amend import Amendment
from compiler.plan.plan import Job

STEPS = 2  # the first may differ from all others; the second shows that training goes on
ITEMS = 8  # questions of a task
BATCHES = 4  # of questions to sample, since some answers are not kept and a batch must be full

FIRST = Point(step=1)


def shrunk(jobs: Iterable[Job]) -> Amendment:
    """Few steps, questions and answers for every job that takes any; what jobs only prepare stays as the study has it, so
    that both use the same."""
    prompts = BATCHES * max((job.settings.get("batch_size", 1) for job in jobs if job.kind == "train"), default=1)

    def settings(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
        if kind == "train":
            return {name: value for name, value in (("steps", STEPS), ("epochs", None)) if name in values}
        if kind == "generate":
            return _fewer(values, "prompts", prompts)
        if kind == "evaluate":
            return {**_fewer(values, "limit", ITEMS), **_fewer(values, "prompts", ITEMS), **_fewer_items(values)}
        return {}

    return Amendment("canary", settings, _execution)


def _fewer(values: Mapping[str, Any], name: str, most: int) -> dict[str, Any]:
    """At most so many of what a job takes all of, or some number."""
    if name not in values:
        return {}
    given = values[name]
    return {name: most if given is None else min(given, most)}


def _fewer_items(values: Mapping[str, Any]) -> dict[str, Any]:
    tasks = values.get("tasks")
    return {"tasks": [{**task, **_fewer(task, "items", ITEMS)} for task in tasks]} if isinstance(tasks, list) else {}


def _execution(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A training that saves along the way does so after each step."""
    return {"save_steps": 1} if kind == "train" and values.get("save_steps") else {}


def small(read: Spec) -> Spec:
    """The spec of the canary: a name of its own, no promise about numbers, and checkpoints that two steps leave."""
    study, catalog = read.study, read.catalog
    relearn = study.evaluate.relearn
    few = {
        "checkpoints": _first(study.evaluate.checkpoints),
        "relearn": relearn and relearn.model_copy(update={"steps": [1]}),
    }
    evaluate = study.evaluate.model_copy(update=few)
    changed = study.model_copy(
        update={
            "study": study.its_canary, "canary": False, "about": f"Canary of {study.study}: {study.about}", "match": [],
            "budget": Budget(), "evaluate": evaluate,
        }
    )  # fmt: skip
    models = {key: _small_definition(model) for key, model in catalog.models.items()}
    return replace(read, study=changed, catalog=Catalog(models, catalog.trees))


def _small_definition(model: Strict) -> Strict:
    if isinstance(model, Suite) and model.checkpoints is not None:
        return model.model_copy(update={"checkpoints": _first(model.checkpoints)})
    if isinstance(model, Method):
        stages = {"stages": [_from_first(s) for s in model.stages], "finish": [_from_first(s) for s in model.finish]}
        return model.model_copy(update=stages)
    return model


def _from_first(stage: Stage) -> Stage:
    return stage if stage.init_from == "final" else stage.model_copy(update={"init_from": FIRST})


def _first(policy: Checkpoints) -> Checkpoints:
    """Checkpoints that are named one by one become the first."""
    return Spaced(steps=[1]) if isinstance(policy, Spaced) and policy.log is None else policy
