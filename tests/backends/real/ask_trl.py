"""What TRL itself says of a train config's `args`: its own parser, and the dataclass of each trainer's arguments."""

from __future__ import annotations

import contextlib
import importlib
import io
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from trl import TrlParser

from runtime.train.recipe import parse_recipe, trl_config

CLASSES = {
    "sft": "trl.trainer.sft_config.SFTConfig",
    "dpo": "trl.trainer.dpo_config.DPOConfig",
    "grpo": "trl.trainer.grpo_config.GRPOConfig",
    "sdft": "trl.experimental.sdft.sdft_config.SDFTConfig",
    "distill": "trl.trainer.distillation_config.DistillationConfig",
}


def config_class(algorithm: str) -> type[Any]:
    """TRL's class of an algorithm's arguments."""
    module, _, name = CLASSES[algorithm].rpartition(".")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, type)
    return found


def answer(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, str] | None:
    """Which of TRL's checks refuses the config's arguments with these changes, and how; None when none does."""
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(said), warnings.catch_warnings(action="ignore"):
        given = {**arguments(config, folder), **changes}
        file = Path(folder) / "config.yaml"
        file.write_text(yaml.safe_dump(given), encoding="utf-8")
        try:
            TrlParser([config_class(config["algorithm"])]).parse_args_and_config(["--config", str(file)])
        except SystemExit:  # argparse's way
            return {"by": "TrlParser", "says": said.getvalue().strip().splitlines()[-1].partition("error: ")[2]}
        except (TypeError, ValueError) as error:
            return {"by": "TrlParser", "says": f"{type(error).__name__}: {error}"}
    return None


def arguments(config: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """The config's own arguments with those that the runtime adds, as if one process took what all devices take."""
    execution = {name: value for name, value in config["execution"].items() if value is not None}
    devices = execution.pop("devices", 1)
    if "micro_batch_size" in execution:
        execution["micro_batch_size"] *= devices
    recipe = parse_recipe({**config, "execution": execution})
    built = trl_config(config_class(recipe.algorithm), recipe, Path(folder), "run", examples(config))
    owned = ("output_dir", "per_device_train_batch_size", "gradient_accumulation_steps", "save_steps")
    return {**config["args"], **{name: getattr(built, name) for name in owned}, "report_to": "none", "use_cpu": True}


def examples(config: Mapping[str, Any]) -> int:
    """Rows that pass through the model for one update."""
    return int(config["batch_size"] * config["args"].get("num_generations", 1))
