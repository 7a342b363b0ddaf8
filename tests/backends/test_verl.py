"""VeRL's configs are what VeRL 0.9.1 takes: every key is one of its own, every value lands where VeRL reads it."""

from __future__ import annotations

import copy
import importlib.metadata
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError

from compiler.backends import part
from runtime.verl import checkpoint as verl_checkpoint
from tests.backends import catalog

PATHS = {
    "LETHE_OUT": "/store/out", "LETHE_IN_DATA": "/store/data", "LETHE_IN_START": "/store/start",
    "WANDB_PROJECT": "lethe", "WANDB_NAME": "gt_sft_math_base_4b",
}  # fmt: skip
# VeRL reads this key and declares it nowhere (verl/trainer/ppo/reward.py), so a struct check would refuse it.
OURS = ("defaults", "hydra", "package")  # what a generated file has beside VeRL's own options
UNDECLARED = "reward.custom_reward_function.reward_kwargs"
# These are mappings of whatever Hugging Face's config has, declared empty.
OPEN = ("model.override_config", "actor_rollout_ref.model.override_config")


def verl_file(name: str) -> Path:
    return Path(str(importlib.metadata.distribution("verl").locate_file(f"verl/{name}")))


@cache
def verl_config(primary: str) -> DictConfig:
    """VeRL's own config tree, composed by Hydra as VeRL does it, without an import of verl (which needs torch and Ray)."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(verl_file("trainer/config")), version_base=None):
        found = compose(primary)
    OmegaConf.set_struct(found, True)
    for place in OPEN:
        if OmegaConf.select(found, place) is not None:
            OmegaConf.set_struct(OmegaConf.select(found, place), False)
    return found


def on_top_of_verl(config: Mapping[str, Any]) -> DictConfig:
    """The config as VeRL sees it. Raises ConfigKeyError for a key that VeRL does not have."""
    own = {key: value for key, value in copy.deepcopy(dict(config)).items() if key not in OURS}
    kwargs = own.get("reward", {}).get("custom_reward_function", {}).pop("reward_kwargs", None)
    base = verl_config(config["defaults"][0])
    merged = OmegaConf.merge(base, own)
    if kwargs is not None:
        OmegaConf.update(merged, UNDECLARED, kwargs, force_add=True)
    assert isinstance(merged, DictConfig)
    return merged


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PATHS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("start", ["base", "safe"])
@pytest.mark.parametrize("domain", catalog.DOMAINS)
@pytest.mark.parametrize("algorithm", ["sft", "grpo"])
def test_the_catalogs_settings_make_a_config_that_verl_takes(algorithm: str, domain: str, start: str) -> None:
    what, values = catalog.algorithm(algorithm, domain, start)
    assert catalog.wrong(what, values) == []
    seen = OmegaConf.to_container(on_top_of_verl(catalog.rendered(what, values)), resolve=True)
    assert isinstance(seen, dict) and seen["trainer"]["default_local_dir"] == "/store/out"


def test_verl_reads_the_one_key_that_it_does_not_declare() -> None:
    source = verl_file("trainer/ppo/reward.py").read_text(encoding="utf-8")
    assert 'reward_fn_config.get("reward_kwargs"' in source


SFT_PLACES = {
    "data.train_batch_size": 16, "data.micro_batch_size_per_gpu": 4, "data.max_length": 2304, "data.truncation": "error",
    "data.train_files": "/store/data/train.parquet", "data.ignore_input_ids_mismatch": False, "data.use_dynamic_bsz": False,
    "optim.lr": 1e-5, "optim.lr_scheduler_type": "cosine", "optim.lr_warmup_steps_ratio": 0.05, "optim.weight_decay": 0.01,
    "optim.betas": [0.9, 0.999], "optim.clip_grad": 1.0, "optim.override_optimizer_config": {"eps": 1e-8},
    "engine.model_dtype": "fp32", "engine.dtype": "bfloat16", "engine.seed": 42,
    "model.path": "/store/start", "model.use_remove_padding": False, "model.lora_rank": 0,
    "model.override_config": {"attn_implementation": "sdpa"},
    "trainer.total_epochs": 3, "trainer.total_training_steps": None, "trainer.save_freq": 100, "trainer.n_gpus_per_node": 2,
    "trainer.project_name": "lethe", "trainer.experiment_name": "gt_sft_math_base_4b",
    "trainer.logger": ["console", "file", "wandb"],
}  # fmt: skip
GRPO_PLACES = {
    "algorithm.adv_estimator": "grpo", "algorithm.norm_adv_by_std_in_grpo": True, "algorithm.use_kl_in_reward": False,
    "data.train_batch_size": 16, "data.max_prompt_length": 512, "data.max_response_length": 1024, "data.seed": 42,
    "data.filter_overlong_prompts": True, "data.truncation": "error",
    "actor_rollout_ref.actor.ppo_mini_batch_size": 16, "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": 2,
    "actor_rollout_ref.actor.rollout_n": 4, "actor_rollout_ref.actor.use_kl_loss": False,
    "actor_rollout_ref.actor.entropy_coeff": 0.0, "actor_rollout_ref.actor.clip_ratio_low": 0.2,
    "actor_rollout_ref.actor.clip_ratio_high": 0.2, "actor_rollout_ref.actor.loss_agg_mode": "token-mean",
    "actor_rollout_ref.actor.use_remove_padding": False, "actor_rollout_ref.actor.optim.lr": 1e-6,
    "actor_rollout_ref.actor.optim.lr_scheduler_type": "constant", "actor_rollout_ref.actor.optim.weight_decay": 0.01,
    "actor_rollout_ref.actor.fsdp_config.model_dtype": "fp32", "actor_rollout_ref.actor.fsdp_config.seed": 42,
    "actor_rollout_ref.rollout.n": 4, "actor_rollout_ref.rollout.temperature": 1.0, "actor_rollout_ref.rollout.top_p": 1.0,
    "actor_rollout_ref.rollout.name": "vllm", "actor_rollout_ref.rollout.gpu_memory_utilization": 0.4,
    "actor_rollout_ref.rollout.tensor_model_parallel_size": 1, "actor_rollout_ref.rollout.response_length": 1024,
    "reward.custom_reward_function.path": "pkg://runtime.rewards", UNDECLARED: {"grader": "math"},
    "trainer.total_epochs": 3, "trainer.val_before_train": False, "trainer.test_freq": -1, "trainer.save_freq": 100,
    "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1, "ray_kwargs.ray_init.num_cpus": None,
}  # fmt: skip


@pytest.mark.parametrize(("algorithm", "places"), [("sft", SFT_PLACES), ("grpo", GRPO_PLACES)])
def test_the_studys_values_land_where_verl_reads_them(algorithm: str, places: Mapping[str, Any]) -> None:
    seen = on_top_of_verl(catalog.rendered(*catalog.algorithm(algorithm, "math")))
    found = {place: OmegaConf.select(seen, place, throw_on_missing=True) for place in places}
    plain = {place: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for place, v in found.items()}
    assert plain == dict(places)


@pytest.mark.parametrize(
    ("algorithm", "place"),
    [("sft", "trainer.nnodez"), ("sft", "optim.learning_rate"), ("sft", "model.partial_pretrain"),
     ("grpo", "actor_rollout_ref.actor.foo"), ("grpo", "data.rollout_batch_size"), ("grpo", "algorithm.kl")],
)  # fmt: skip
def test_a_key_that_verl_does_not_have_is_noticed(algorithm: str, place: str) -> None:
    config = catalog.rendered(*catalog.algorithm(algorithm, "qa"))
    *folders, key = place.split(".")
    inner = config
    for folder in folders:
        inner = inner[folder]
    inner[key] = 1
    with pytest.raises(ConfigKeyError):
        on_top_of_verl(config)


MUTATIONS = [
    ("sft", "settings.learning_rate", 1e-5, "settings: Additional properties"),
    ("sft", "settings.lr", "fast", "settings.lr: 'fast' is not of type 'number'"),
    ("sft", "settings.lr", 0, "settings.lr: 0 is less than or equal"),
    ("sft", "settings.schedule", "linear", "settings.schedule: 'linear' is not one of"),
    ("sft", "settings.overlong", "left", "settings.overlong"),
    ("sft", "settings.epochs", None, "'epochs' of the values is empty: training ends after"),
    ("sft", "settings.steps", 100, "'epochs' of the values is 3: training ends after"),
    ("sft", "settings.batch_size", 20, "'batch_size' of the values is 20: every GPU must get"),
    ("sft", "settings.remove_padding", True, "settings.attention: 'flash_attention_2' was expected"),
    ("sft", "settings.prompt.template", "alpaca", "settings.prompt.template: 'alpaca' is not one of"),
    ("sft", "settings.seed", -1, "settings.seed: -1 is less than"),
    ("sft", "execution.nnodez", 2, "execution: Additional properties"),
    ("sft", "execution.micro_batch_size", 3, "execution.micro_batch_size: 3 is not one of"),
    ("sft", "execution.devices", 8, "'batch_size' of the values is 16: every GPU must get"),
    ("grpo", "settings.group_size", 1, "settings.group_size: 1 is less than the minimum of 2"),
    ("grpo", "settings.loss_aggregation", "mean", "settings.loss_aggregation: 'mean' is not one of"),
    ("grpo", "settings.kl_estimator", "k4", "settings.kl_estimator: 'k4' is not one of"),
    ("grpo", "settings.kl_coef", -0.1, "settings.kl_coef: -0.1 is less than"),
    ("grpo", "settings.temperature", 0, "settings.temperature: 0 is less than or equal"),
    ("grpo", "settings.top_p", 1.5, "settings.top_p: 1.5 is greater than"),
    ("grpo", "settings.clip_low", 2.0, "settings.clip_low: 2.0 is greater than"),
    ("grpo", "settings.grader", "gsm8k", "settings.grader: 'gsm8k' is not one of"),
    ("grpo", "settings.precision", "fp16", "settings.precision: 'fp16' is not one of"),
    ("grpo", "settings.adv_estimator", "grpo", "settings: Additional properties"),
    ("grpo", "execution.tensor_parallel", 4, "'tensor_parallel' of the values is 4: tensor_parallel must divide"),
    ("grpo", "execution.gpu_memory_utilization", 1.2, "execution.gpu_memory_utilization: 1.2 is greater than"),
    ("grpo", "execution.report_to", "mlflow", "execution.report_to: 'mlflow' is not one of"),
]


def test_answers_that_cannot_be_shared_out_among_the_gpus_are_refused() -> None:
    what, values = catalog.algorithm("grpo", "math")
    values["execution"] |= {"devices": 8, "micro_batch_size": 16}  # 128 answers at a time, of 16 prompts x 4
    assert catalog.wrong(what, values)[0].startswith("'batch_size' of the values is 16: every GPU must get")


@pytest.mark.parametrize(("algorithm", "place", "value", "message"), MUTATIONS)
def test_the_schema_refuses(algorithm: str, place: str, value: Any, message: str) -> None:
    what, values = catalog.algorithm(algorithm, "math")
    *folders, key = place.split(".")
    inner = values
    for folder in folders:
        inner = inner[folder]
    inner[key] = value
    assert any(found.startswith(message) for found in catalog.wrong(what, values)), catalog.wrong(what, values)


@pytest.mark.parametrize("algorithm", ["sft", "grpo"])
def test_every_setting_decides_something_in_the_config(algorithm: str) -> None:
    """A setting that the template forgot would change no fingerprint."""
    what, values = catalog.algorithm(algorithm, "math", "safe")
    values["settings"]["kl_coef"] = 0.001 if algorithm == "grpo" else None
    other: dict[str, Any] = {
        "prompt": {"template": "plain", "thinking": False},
        "epochs": 7,
        "steps": 99,
        "remove_padding": True,
    }
    for name, value in values["settings"].items():
        if name not in what.takes("settings"):
            continue
        options = [
            option for option in what.schema["properties"]["settings"]["properties"][name].get("enum", []) if option != value
        ]
        changed = copy.deepcopy(values)
        changed["settings"][name] = options[0] if options else other[name] if name in other else value + 1
        assert catalog.rendered(what, changed) != catalog.rendered(what, values), name


@pytest.mark.parametrize("start", ["base", "safe"])
@pytest.mark.parametrize("algorithm", ["sft", "grpo"])
def test_a_config_holds_no_path(algorithm: str, start: str) -> None:
    what, values = catalog.algorithm(algorithm, "math", start)
    for place, text in strings_of(what.config_of(values["settings"], values["execution"])):
        if "/" in text and not place.endswith("custom_chat_template"):
            assert text.startswith(("${oc.env:", "pkg://")), place


def strings_of(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a config, with where it stands."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from strings_of(inner, f"{place}.{key}")


@pytest.mark.parametrize("algorithm", ["sft", "grpo"])
def test_execution_can_be_blanked_for_the_fingerprint(algorithm: str) -> None:
    what, values = catalog.algorithm(algorithm, "math")
    blank = {**values, "execution": dict.fromkeys(what.takes("execution"))}
    assert catalog.rendered(what, blank)["optim" if algorithm == "sft" else "algorithm"]


def test_a_conversion_merges_what_the_training_linked_as_final() -> None:
    what = part("verl", "convert", catalog.HERE)
    values: dict[str, Any] = {"settings": {"step": None}, "execution": {}}
    assert catalog.wrong(what, values) == [] and what.output == "checkpoint.hf"
    assert catalog.wrong(what, {**values, "settings": {"step": None, "dtype": "float32"}})
    assert catalog.wrong(what, {**values, "settings": {"step": 0}})
    launched = what.render_launch(values["settings"], {}, {})
    assert f'--local_dir "$LETHE_IN_SHARDS/{verl_checkpoint.FINAL}"' in launched and '--target_dir "$LETHE_OUT"' in launched


def test_a_conversion_of_a_step_merges_what_the_training_kept_of_it() -> None:
    what = part("verl", "convert", catalog.HERE)
    assert '--local_dir "$LETHE_IN_SHARDS/steps/500"' in what.render_launch({"step": 500}, {}, {})
    assert catalog.rendered(what, {"settings": {"step": 500}, "execution": {}})["step"] == 500


@pytest.mark.parametrize("algorithm", ["sft", "grpo"])
def test_what_is_kept_on_the_way_keeps_every_checkpoint_and_must_be_saved_at_all(algorithm: str) -> None:
    what, values = catalog.algorithm(algorithm, "math")
    config = catalog.rendered(what, values)
    values["execution"]["keep"] = [100, 500]
    key = "max_ckpt_to_keep" if algorithm == "sft" else "max_actor_ckpt_to_keep"
    assert config["trainer"][key] == 2 and catalog.wrong(what, values) == []
    assert catalog.rendered(what, values)["trainer"] == {**config["trainer"], key: None}
    on_top_of_verl(catalog.rendered(what, values))
    values["execution"]["keep"] = [100, 550]
    assert catalog.wrong(what, values)[0].startswith("'keep' of the values is ")
    assert "must be a multiple of save_steps" in catalog.wrong(what, values)[0]
    values["settings"] |= {"epochs": None, "steps": 550}
    assert catalog.wrong(what, values) == []


@pytest.mark.parametrize("algorithm", ["sft", "grpo"])
def test_an_adapter_lands_where_verl_reads_it(algorithm: str) -> None:
    what, values = catalog.algorithm(algorithm, "math")
    all_weights = on_top_of_verl(catalog.rendered(what, values))
    values["settings"]["adapter"] = {"type": "lora", "rank": 16, "alpha": 32, "dropout": 0.0, "targets": ["q_proj", "v_proj"]}
    assert catalog.wrong(what, values) == [] and what.adapter_output == "checkpoint.shards"
    config = on_top_of_verl(catalog.rendered(what, values))
    model = config.model if algorithm == "sft" else config.actor_rollout_ref.model
    assert (model.lora_rank, model.lora_alpha, model.target_modules) == (16, 32, ["q_proj", "v_proj"])
    assert algorithm == "sft" or model.lora.merge
    whole = all_weights.model if algorithm == "sft" else all_weights.actor_rollout_ref.model
    assert whole.lora_rank == 0
    values["settings"]["adapter"]["dropout"] = 0.1
    assert catalog.wrong(what, values) == ["settings.adapter.dropout: 0 was expected"]


@pytest.mark.parametrize("algorithm", ["sft", "grpo"])
def test_a_script_starts_verl_between_the_checks_of_its_inputs_and_its_output(algorithm: str) -> None:
    what, values = catalog.algorithm(algorithm, "math")
    launched = what.render_launch(values["settings"], values["execution"], {})
    start = "exec python -m runtime launch " + ("" if algorithm == "sft" else "--marked ") + '"$LETHE_CONTRACT"'
    assert start in launched
    if algorithm == "sft":
        assert " --standalone --nproc-per-node=2 -m verl.trainer.sft_trainer" in launched
    else:
        assert "-m verl.trainer.main_ppo" in launched and "RAY_AUTH_MODE=token" in launched
