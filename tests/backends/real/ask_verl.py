"""What VeRL itself says of a config: a script for an environment that can import all of VeRL, with ray and tensordict.

    python ask_verl.py < QUESTIONS > ANSWERS

A question is `{"config": ..., "set": {PLACE: VALUE}, "text": ...}`: a config as Lethe generates it (its `defaults` name VeRL's
own tree), what is changed in it, and the file as it is where that is to be composed, too. An answer is null, or
`{"by": ..., "says": ...}`: which of VeRL's checks refused, and its message. The checks are those that VeRL has before anything
is loaded on a GPU: the struct that Hydra's overrides are held against, `validate_config`, and the dataclasses that its workers
turn their parts of the config into.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

ENVIRONMENT = {"LETHE_OUT": "/store/out", "LETHE_IN_DATA": "/store/data", "WANDB_PROJECT": "lethe", "WANDB_NAME": "run"}
# VeRL reads this key and declares it nowhere (verl/trainer/ppo/reward.py), so a struct check would refuse it.
UNDECLARED = "reward.custom_reward_function.reward_kwargs"
OURS = ("defaults", "hydra", "package")  # what a generated file has beside VeRL's own options
# These are mappings of whatever Hugging Face's config or torch's optimizer has, declared empty or null.
OPEN = ("model.override_config", "actor_rollout_ref.model.override_config")
PARTS = {
    "sft_trainer_engine": ("model", "engine", "optim", "checkpoint", "profiler"),
    "ppo_trainer": ("actor_rollout_ref.model", "actor_rollout_ref.actor", "actor_rollout_ref.rollout", "algorithm"),
}
# How a worker of VeRL renames what its reference model has of an actor's (verl/workers/engine_workers.py, init_model).
OF_REFERENCE = {
    "log_prob_micro_batch_size": "ppo_micro_batch_size",
    "log_prob_micro_batch_size_per_gpu": "ppo_micro_batch_size_per_gpu",
    "log_prob_use_dynamic_bsz": "use_dynamic_bsz",
    "log_prob_max_token_len_per_gpu": "ppo_max_token_len_per_gpu",
}


@cache
def tree(primary: str) -> DictConfig:
    """VeRL's own config tree, composed by Hydra."""
    folder = importlib.metadata.distribution("verl").locate_file("verl/trainer/config")
    with initialize_config_dir(str(folder), version_base=None):
        return compose(primary)


def merged(config: Mapping[str, Any], changes: Mapping[str, Any]) -> DictConfig:
    """The config on top of VeRL's tree, then the changes. Raises what OmegaConf does for a key that VeRL does not have."""
    found = unchanged(json.dumps(config)).copy()
    for place, value in changes.items():
        OmegaConf.update(found, place, value)
    return found


@cache
def unchanged(text: str) -> DictConfig:
    """A config, as JSON, on top of VeRL's tree."""
    config = json.loads(text)
    own = {key: value for key, value in config.items() if key not in OURS}
    kwargs = own.get("reward", {}).get("custom_reward_function", {}).pop("reward_kwargs", None)
    base = tree(config["defaults"][0]).copy()
    OmegaConf.set_struct(base, True)
    for place in OPEN:
        if OmegaConf.select(base, place) is not None:
            OmegaConf.set_struct(OmegaConf.select(base, place), False)
    found = OmegaConf.merge(base, own)
    if kwargs is not None:
        OmegaConf.update(found, UNDECLARED, kwargs, force_add=True)
    assert isinstance(found, DictConfig)
    return found


def launched(text: str) -> DictConfig:
    """What VeRL's entry point makes of the file itself, as the job's script names it to Hydra."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.yaml").write_text(text, encoding="utf-8")
        with initialize_config_dir(folder, version_base=None):
            return compose("config")


def same_as_launched(text: str, config: DictConfig) -> None:
    """Hydra takes any key from a file, so what it composes must be what was checked."""
    found = launched(text)
    OmegaConf.set_struct(found, False)
    for name in OURS:
        found.pop(name, None)
    if OmegaConf.to_container(found) != OmegaConf.to_container(config):
        raise ValueError("Hydra composes something else from the file than what was checked")


def validated(config: DictConfig) -> None:
    """What VeRL's entry point checks before it starts Ray."""
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    validate_config(config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))


def typed(config: DictConfig, primary: str) -> None:
    """What VeRL's workers do first: each part of the config becomes the dataclass that it names."""
    from verl.trainer.ppo.utils import need_reference_policy
    from verl.utils.config import omega_conf_to_dataclass

    for place in PARTS[primary]:
        omega_conf_to_dataclass(OmegaConf.select(config, place))
    if primary != "ppo_trainer":
        return
    if need_reference_policy(config):
        reference = {OF_REFERENCE.get(str(key), key): value for key, value in config.actor_rollout_ref.ref.items()}
        reference["ppo_mini_batch_size"] = config.actor_rollout_ref.actor.ppo_mini_batch_size
        omega_conf_to_dataclass(OmegaConf.create(reference))
    if config.distillation.enabled:
        omega_conf_to_dataclass(config.distillation)


def answer(question: Mapping[str, Any]) -> dict[str, str] | None:
    """Which check refuses the config, and how; None when none does."""
    primary = question["config"]["defaults"][0]
    found: list[DictConfig] = []

    def struct() -> None:
        found.append(merged(question["config"], question.get("set", {})))
        OmegaConf.resolve(found[0])

    checks: list[tuple[str, Callable[[], None]]] = [("struct", struct)]
    if "text" in question:
        checks.append(("compose", lambda: same_as_launched(question["text"], merged(question["config"], {}))))
    if primary == "ppo_trainer":
        checks.append(("validate_config", lambda: validated(found[0])))
    checks.append(("dataclasses", lambda: typed(found[0], primary)))
    for name, check in checks:
        try:
            check()
        except ImportError:  # says nothing of the config
            raise
        except Exception as caught:  # whatever it is, it ends a training
            error: BaseException = caught
            while error.__cause__ is not None:  # Hydra wraps what a dataclass says
                error = error.__cause__
            return {"by": name, "says": f"{type(error).__name__}: {str(error).strip()}"}
    return None


def make_start(folder: Path) -> None:
    """A checkpoint without weights: a tiny model's configuration with a tokenizer, for VeRL's model dataclass to read."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast, Qwen3Config

    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    Qwen3Config(**shape, num_key_value_heads=2, vocab_size=8, architectures=["Qwen3ForCausalLM"]).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({"<eos>": 0, "<unk>": 1}, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>", unk_token="<unk>").save_pretrained(folder)


def main() -> None:
    questions = json.load(sys.stdin)
    out, sys.stdout = sys.stdout, sys.stderr  # VeRL prints what it has checked
    with tempfile.TemporaryDirectory() as folder:
        make_start(Path(folder))
        os.environ.update({**ENVIRONMENT, "LETHE_IN_START": folder, "LETHE_IN_TEACHER": folder})
        print(
            json.dumps([answer(question) for question in questions]), file=out, flush=True
        )  # a package may end the process without that


if __name__ == "__main__":
    main()
