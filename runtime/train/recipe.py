"""A train job's config, checked and typed, and how it becomes a TRL config.

`args` holds fields of TRL's config class by their own names. What follows from the machine rather than from the science
(`execution`: micro-batch, devices, logging, checkpoints) stands beside them and may be null, which means this runtime's choice.
Which of it decides a result all the same, `decisive` in the backends' backend.yaml says.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from runtime.errors import JobError
from runtime.train.adapter import Adapter

# Fields of TRL's configs that this runtime sets by itself, from the recipe's other keys and from the job.
OWNED = frozenset(
    {
        "output_dir",
        "run_name",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "gradient_checkpointing",
        "logging_steps",
        "save_strategy",
        "save_steps",
        "save_total_limit",
        "report_to",
        "disable_tqdm",
        "dataloader_pin_memory",
        "max_length",
        "seed",
        "use_cpu",
        "fsdp",
        "fsdp_config",
    }
)

OPTIONAL = frozenset(
    {"backend", "package", "must", "grader", "adapter", "demonstration", "teacher_model", "teacher_dtype", "execution"}
)
SHARDINGS = ("none", "fsdp")
TEACHERS = frozenset({"demonstration", "teacher_model", "teacher_dtype"})


@dataclass(frozen=True)
class Execution:
    """How the training is run: examples a forward pass, processes and their nodes, steps between log lines and checkpoints.

    `keep` are the steps whose checkpoints stay, for other jobs to read. With `sharding` "fsdp" the devices divide the
    training's state among them, with "none" each holds all of it.
    """

    micro_batch_size: int | None = None
    devices: int = 1
    nodes: int = 1
    logging_steps: int = 10
    save_steps: int | None = None
    gradient_checkpointing: bool = False
    report_to: str = "none"
    keep: tuple[int, ...] = ()
    sharding: str = "none"

    @property
    def sharded(self) -> bool:
        """Whether there is something to divide, and it is to be divided."""
        return self.sharding == "fsdp" and self.devices > 1


@dataclass(frozen=True)
class Recipe:
    """What decides a training's result. `batch_size` counts rows (pairs, prompts) an update, over all devices.

    `longest` is the number of tokens a row may have, `overlong` what is done with a longer one: "error" or "drop".
    `must_steps`, where given, is the number of updates without which the training did not happen. Without `adapter`, all
    weights are trained. `demonstration` is what self-distillation shows its teacher; `teacher_model` names another model that
    is one, and `teacher_dtype` says how its weights are held.
    """

    algorithm: str
    args: Mapping[str, Any]
    batch_size: int
    model_dtype: str
    longest: int
    overlong: str
    seed: int
    grader: str | None
    must_steps: int | None
    adapter: Adapter | None
    execution: Execution
    demonstration: str | None = None
    teacher_model: str | None = None
    teacher_dtype: str | None = None


def parse_recipe(config: Mapping[str, Any]) -> Recipe:
    """Read a train job's config. Raises JobError that names the key at fault."""
    known = {"backend", "package", "must", *(field.name for field in fields(Recipe))} - {"must_steps"}
    require_known(config, known, "the train config")
    missing = sorted(known - OPTIONAL - set(config))
    if missing:
        raise JobError(f"the train config lacks {', '.join(missing)}")
    must = config.get("must") or {}
    require_known(must, {"steps"}, "must")
    return Recipe(
        **{name: config[name] for name in known & set(config) - OPTIONAL | TEACHERS & set(config)},
        grader=config.get("grader"),
        must_steps=must.get("steps"),
        adapter=parse_adapter(config.get("adapter")),
        execution=parse_execution(config.get("execution") or {}),
    )


def trl_config(config_class: type[Any], recipe: Recipe, out: Path, run_name: str, examples: int) -> Any:
    """Build TRL's config object from a recipe; `examples` rows pass through the model for one update (over all devices).

    Raises JobError for a field that TRL's class lacks or that this runtime sets, for values TRL refuses, and unless as many
    processes run as `execution.devices` says.
    """
    known = {field.name for field in fields(config_class)}
    require_known(recipe.args, known - OWNED, f"args (fields of trl.{config_class.__name__})")
    owned = {"output_dir": str(out), "run_name": run_name, "seed": recipe.seed, **_execution_fields(recipe.execution, examples)}
    owned |= sharding_fields(recipe.execution) if recipe.execution.sharded else {}
    if "max_length" in known:
        owned["max_length"] = recipe.longest
    try:
        built = config_class(**owned, **recipe.args)
    except (TypeError, ValueError) as error:
        raise JobError(f"trl.{config_class.__name__} refuses these args: {error}") from error
    if built.world_size != recipe.execution.devices:
        running = f"{built.world_size} process(es) run"
        raise JobError(f"execution.devices is {recipe.execution.devices}, but {running}; start one a device (torchrun)")
    return built


def sharding_fields(execution: Execution) -> dict[str, Any]:
    """The fields of transformers' arguments for FSDP2, each of the model's own blocks a unit. Raises JobError on a CPU."""
    if not torch.cuda.is_available():
        raise JobError(
            "execution.sharding: fsdp divides a training among GPUs, and there is none: a CPU would train on undivided"
        )
    fsdp_config = {
        "version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "reshard_after_forward": True,
        "activation_checkpointing": execution.gradient_checkpointing,
        "state_dict_type": "FULL_STATE_DICT",
    }
    return {"fsdp": True, "fsdp_config": fsdp_config, "gradient_checkpointing": False}


def accumulation(examples: int, micro: int, devices: int) -> int:
    """How many forward passes a device makes for one update of `examples`. Raises JobError unless they divide evenly."""
    if examples % (micro * devices):
        raise JobError(
            f"{examples} examples an update cannot be cut into {devices} device(s) x micro-batches of {micro}; "
            f"make execution.micro_batch_size x execution.devices a divisor of {examples}"
        )
    return examples // (micro * devices)


def require_known(given: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Raise JobError for the first key of `given` outside `known`, with the nearest name there is."""
    names = set(known)
    for key in given:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise JobError(f"{where}: there is no {key!r}{hint}")


def _execution_fields(execution: Execution, examples: int) -> dict[str, Any]:
    micro = execution.micro_batch_size or examples // execution.devices
    return {
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": accumulation(examples, micro, execution.devices),
        "gradient_checkpointing": execution.gradient_checkpointing,
        "logging_steps": execution.logging_steps,
        "save_strategy": "no" if execution.save_steps is None else "steps",
        "save_steps": execution.save_steps or 1,
        "save_total_limit": 2,  # the last whole one stays while the next is written
        "report_to": execution.report_to,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "use_cpu": not torch.cuda.is_available(),  # without it, several processes on CPUs do not find each other
    }


def parse_execution(values: Mapping[str, Any]) -> Execution:
    """Read how a training is run. Raises JobError for a key or a way of dividing it that there is not."""
    require_known(values, (field.name for field in fields(Execution)), "execution")
    given = {name: value for name, value in values.items() if value is not None}
    if given.get("sharding", "none") not in SHARDINGS:
        raise JobError(f"execution.sharding: there is no {given['sharding']!r}; there are {', '.join(SHARDINGS)}")
    return Execution(**{**given, "keep": tuple(given.get("keep", ()))})


def parse_adapter(values: Mapping[str, Any] | None) -> Adapter | None:
    """Read which weights are trained; None is all of them. Raises JobError for a key too many or too few."""
    if values is None:
        return None
    names = {field.name for field in fields(Adapter)}
    require_known(values, names, "adapter")
    if missing := sorted(names - set(values)):
        raise JobError(f"adapter lacks {', '.join(missing)}")
    return Adapter(**values)
