"""GEM's environments by their own `step`: a reward of 1 is correct. It runs in a helper process, in whose main thread GEM's
SIGALRM works.

Our own graders (`math`, `qa`) are thread-safe and take the same rows; this one is for a study that wants GEM's judgement.
Programs are not judged here: GEM runs them without a sandbox unless told otherwise, so rows of its code environments are for
the grader `code`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runtime.data.rows import Row
from runtime.errors import JobError
from runtime.graders.workers import ask

SECONDS = 10
NAME = "gem"
SAMPLED = "rg:"  # environments of reasoning-gym, which make their questions
NOT_JUDGED = "code:"


def grade_many(rows: Sequence[Row], outputs: Sequence[str]) -> list[bool]:
    """Whether the environment that each row names rewards the output with 1. Raises JobError for rows of its code
    environments."""
    return [step(row[NAME], output) >= 1.0 for row, output in zip(rows, outputs, strict=True)]


def step(place: Mapping[str, Any], output: str) -> float:
    """The reward of an output, where `place` names the environment and the state before the answer; 0 where it stumbles or is
    late."""
    if place["env"].startswith(NOT_JUDGED):
        raise JobError(f"grader gem: {place['env']} runs programs without a sandbox; give its rows the grader code")
    reward = ask(NAME, {"place": place, "output": output}, SECONDS)
    return 0.0 if reward is None else float(reward)


def open_judge() -> Callable[[Any], float]:
    """In the helper: the function that takes one step. Raises JobError where GEM cannot be imported."""
    made = functools.lru_cache(maxsize=16)(_environment)
    import_gem()

    def judge(request: Any) -> float:
        place = request["place"]
        if place["env"].startswith(SAMPLED):
            environment = made(place["env"], place["seed"], place["size"])
            environment.data = environment.ds[place["index"]]
            if environment.data["question"] != place["question"]:
                raise JobError(
                    f"gem: {place['env']} asks something else at index {place['index']} than when the rows were made"
                )
        else:
            environment = made(place["env"], 0, 0)
            environment.set_state({"first_obs": "", "answer": place["answer"]})
        return float(environment.step(request["output"])[1])

    return judge


def import_gem() -> Any:
    """GEM's registry of environments. Raises JobError with what is missing."""
    try:
        importlib.import_module("gem.envs")  # which registers them
        return importlib.import_module("gem.envs.registration")
    except ImportError as error:
        raise JobError(f"gem cannot be imported here ({error}); install requirements/data.txt where jobs run") from error


def find_spec(env: str) -> Any:
    """What GEM's registry has under this id: `entry_point` and `kwargs`. Raises JobError that says what there is of its
    kind."""
    registry: Mapping[str, Any] = import_gem().ENV_REGISTRY
    if env in registry:
        return registry[env]
    alike = sorted(name for name in registry if name.split(":")[0] == env.split(":")[0])
    raise JobError(f"env: GEM has no {env!r}; it has {', '.join(alike or sorted(registry))}")


def open_environment(env: str, **given: Any) -> Any:
    """The environment of that id, made of `given` instead of what it would download. Raises JobError where it cannot be
    made."""
    find_spec(env)
    try:
        return import_gem().make(env, **given)
    except ImportError as error:
        raise JobError(f"gem: {env} cannot be made here ({error}); install requirements/data.txt where jobs run") from error


def _environment(env: str, seed: int, size: int) -> Any:
    """One that takes steps: of reasoning-gym with its questions, of data sets with a state to be set and no data."""
    if env.startswith(SAMPLED):
        return open_environment(env, seed=seed, size=size)
    from datasets import Dataset

    keys = find_spec(env).kwargs
    nothing = Dataset.from_list([{keys["question_key"]: "", keys["answer_key"]: ""}])
    return open_environment(env, dataset=nothing, use_mp=False)
