"""The TRL templates: what they render is what the real TRL package takes, for the settings that their schemas allow."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.sft_config import SFTConfig

from compiler.backends import Part, part
from compiler.configs import parse_config
from compiler.diagnostics import Position
from compiler.language.source import Tree
from runtime.errors import JobError
from runtime.train.recipe import OWNED, parse_recipe, trl_config

Values = dict[str, Any]

OPTIMISATION: Values = {
    "lr": 1e-5,
    "schedule": "cosine",
    "warmup_ratio": 0.05,
    "weight_decay": 0.01,
    "optimizer": "adamw_torch",
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "grad_clip": 1.0,
    "epochs": None,
    "steps": 100,
    "batch_size": 16,
    "precision": "fp32",
    "overlong": "error",
    "seed": 7,
}
SETTINGS: dict[str, Values] = {
    "sft": {**OPTIMISATION, "max_length": 2048, "loss_type": "nll"},
    "dpo": {
        **OPTIMISATION,
        "max_length": 2048,
        "loss_type": "sigmoid",
        "beta": 0.1,
        "label_smoothing": 0.0,
        "sft_coef": 0.0,
    },
    "grpo": {
        **OPTIMISATION,
        "grader": "math",
        "group_size": 4,
        "max_prompt_tokens": 512,
        "max_answer_tokens": 1024,
        "temperature": 1.0,
        "top_p": 1.0,
        "kl_coef": 0.0,
        "loss_type": "dapo",
        "scale_rewards": "group",
        "clip_low": 0.2,
        "clip_high": 0.2,
        "updates_per_batch": 1,
        "importance_sampling": "token",
        "mask_truncated": False,
    },
}
EXECUTION: Values = {
    "micro_batch_size": 4,
    "devices": 1,
    "logging_steps": 5,
    "save_steps": 50,
    "gradient_checkpointing": True,
    "report_to": "none",
}
LORA: Values = {"type": "lora", "rank": 16, "alpha": 32, "dropout": 0.0, "targets": "all-linear"}
OPTIONAL = {"adapter", "keep", "nodes", "options", "sharding"}
CONFIGS = {"sft": SFTConfig, "dpo": DPOConfig, "grpo": GRPOConfig}
ALGORITHMS = sorted(SETTINGS)

# algorithm, a change of one setting, and what TRL's config must then hold.
MUTATIONS: list[tuple[str, Values, Values]] = [
    *((name, {"lr": 3e-4}, {"learning_rate": 3e-4}) for name in ALGORITHMS),
    *((name, {"schedule": "constant"}, {"lr_scheduler_type": "constant"}) for name in ALGORITHMS),
    *((name, {"warmup_ratio": 0.25}, {"warmup_steps": 0.25}) for name in ALGORITHMS),
    *((name, {"weight_decay": 0.1}, {"weight_decay": 0.1}) for name in ALGORITHMS),
    *((name, {"optimizer": "adamw_torch_fused"}, {"optim": "adamw_torch_fused"}) for name in ALGORITHMS),
    *((name, {"adam_beta1": 0.8}, {"adam_beta1": 0.8}) for name in ALGORITHMS),
    *((name, {"adam_beta2": 0.95}, {"adam_beta2": 0.95}) for name in ALGORITHMS),
    *((name, {"adam_epsilon": 1e-6}, {"adam_epsilon": 1e-6}) for name in ALGORITHMS),
    *((name, {"grad_clip": 0.5}, {"max_grad_norm": 0.5}) for name in ALGORITHMS),
    *((name, {"epochs": 3, "steps": None}, {"num_train_epochs": 3, "max_steps": -1}) for name in ALGORITHMS),
    *((name, {"epochs": None, "steps": 9}, {"max_steps": 9}) for name in ALGORITHMS),
    *((name, {"precision": "fp32"}, {"bf16": False, "fp16": False}) for name in ALGORITHMS),
    *((name, {"precision": "bf16_mixed"}, {"bf16": True, "fp16": False}) for name in ALGORITHMS),
    *((name, {"seed": 11}, {"seed": 11, "data_seed": 11}) for name in ALGORITHMS),
    ("sft", {"max_length": 96}, {"max_length": 96}),
    ("sft", {"loss_type": "dft"}, {"loss_type": "dft", "completion_only_loss": True, "packing": False}),
    ("dpo", {"max_length": 96}, {"max_length": 96}),
    ("dpo", {"loss_type": "ipo"}, {"loss_type": ["ipo"], "loss_weights": [1.0]}),
    ("dpo", {"sft_coef": 0.5}, {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]}),
    ("dpo", {"beta": 0.3}, {"beta": 0.3}),
    ("dpo", {"label_smoothing": 0.2}, {"label_smoothing": 0.2}),
    ("grpo", {"group_size": 8}, {"num_generations": 8}),
    ("grpo", {"max_answer_tokens": 24}, {"max_completion_length": 24}),
    ("grpo", {"temperature": 0.7}, {"temperature": 0.7}),
    ("grpo", {"top_p": 0.9}, {"top_p": 0.9}),
    ("grpo", {"kl_coef": 0.04}, {"beta": 0.04}),
    ("grpo", {"loss_type": "dr_grpo"}, {"loss_type": "dr_grpo"}),
    ("grpo", {"scale_rewards": "none"}, {"scale_rewards": "none"}),
    ("grpo", {"clip_low": 0.1, "clip_high": 0.28}, {"epsilon": 0.1, "epsilon_high": 0.28}),
    ("grpo", {"updates_per_batch": 2}, {"num_iterations": 2}),
    ("grpo", {"importance_sampling": "sequence"}, {"importance_sampling_level": "sequence"}),
    ("grpo", {"mask_truncated": True}, {"mask_truncated_completions": True}),
]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_rendered_arg_is_a_field_of_trls_config(algorithm: str) -> None:
    config = render(algorithm)
    assert set(config["args"]) <= {field.name for field in fields(CONFIGS[algorithm])} - OWNED
    assert config["algorithm"] == algorithm


@pytest.mark.parametrize(("algorithm", "change", "expected"), MUTATIONS)
def test_a_setting_arrives_in_trls_config(algorithm: str, change: Values, expected: Values, tmp_path: Path) -> None:
    built = build(render(algorithm, **change), tmp_path)
    assert {name: getattr(built, name) for name in expected} == expected


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_setting_changes_the_config(algorithm: str) -> None:
    changed = {name for name in SETTINGS[algorithm] if render(algorithm, **other(algorithm, name)) != render(algorithm)}
    assert changed == set(SETTINGS[algorithm])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_execution_decides_how_and_not_what(algorithm: str, tmp_path: Path) -> None:
    config = render(algorithm)
    blank = render(algorithm, execution=dict.fromkeys(EXECUTION))
    assert config["args"] == blank["args"]
    assert config["execution"] == {**EXECUTION, "keep": []}
    one, other_way = build(config, tmp_path), build(blank, tmp_path)
    assert one.per_device_train_batch_size == 4
    assert updates_see(one) == updates_see(other_way) == 16 * config["args"].get("num_generations", 1)
    assert (one.gradient_checkpointing, one.save_strategy, one.save_steps) == (True, "steps", 50)
    assert (other_way.gradient_checkpointing, other_way.save_strategy) == (False, "no")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_without_an_adapter_all_weights_are_trained(algorithm: str) -> None:
    assert render(algorithm) == render(algorithm, adapter=None)
    assert parse_recipe(render(algorithm)).adapter is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("change", [{}, {"rank": 8}, {"alpha": 8}, {"dropout": 0.1}, {"targets": ["q_proj", "v_proj"]}])
def test_an_adapter_arrives_as_it_is_and_makes_a_checkpoint_of_its_own(algorithm: str, change: Values) -> None:
    adapter = {**LORA, **change}
    config = render(algorithm, adapter=adapter)
    assert asdict(parse_recipe(config).adapter) == adapter
    assert found(algorithm).adapter_output == "checkpoint.adapter"
    assert config["args"].get("disable_dropout", False) == (algorithm != "sft" and adapter["dropout"] == 0)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "change", [{"rank": 0}, {"alpha": 1.5}, {"dropout": 1}, {"targets": "all"}, {"targets": []}, {"type": "ia3"}, {"r": 8}]
)
def test_the_schema_refuses_an_adapter(algorithm: str, change: Values) -> None:
    settings = {**SETTINGS[algorithm], "adapter": {**LORA, **change}}
    assert not validator(algorithm).is_valid({"settings": settings, "execution": EXECUTION})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_kept_on_the_way_is_no_part_of_the_result(algorithm: str) -> None:
    config = render(algorithm, execution={**EXECUTION, "keep": [5, 50]})
    assert parse_recipe(config).execution.keep == (5, 50)
    assert {**config, "execution": None} == {**render(algorithm), "execution": None}
    wrong = {"settings": SETTINGS[algorithm], "execution": {**EXECUTION, "keep": [0]}}
    assert not validator(algorithm).is_valid(wrong)


def test_a_mixture_is_rewarded_by_each_rows_own_grader() -> None:
    assert parse_recipe(render("grpo", grader="by_row")).grader == "by_row"


@pytest.mark.parametrize(
    ("precision", "dtype", "autocast"),
    [("fp32", "float32", False), ("bf16_mixed", "float32", True), ("bf16", "bfloat16", True)],
)
def test_precision_says_how_weights_are_held_and_how_they_are_multiplied(precision: str, dtype: str, autocast: bool) -> None:
    recipe = parse_recipe(render("sft", precision=precision))
    assert (recipe.model_dtype, recipe.args["bf16"]) == (dtype, autocast)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "change",
    [
        {"lr": 0},
        {"lr": "1e-5"},
        {"schedule": "cosin"},
        {"batch_size": 0},
        {"warmup_ratio": 1},
        {"lrr": 1},
    ],
)
def test_the_schema_refuses(algorithm: str, change: Values) -> None:
    assert not validator(algorithm).is_valid({"settings": {**SETTINGS[algorithm], **change}, "execution": EXECUTION})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("change", [{"epochs": 2}, {"steps": None}])
def test_training_ends_after_epochs_or_after_steps_and_not_both(algorithm: str, change: Values) -> None:
    settings = Tree("tests", {**SETTINGS[algorithm], **change})
    told = found(algorithm).check_rules(settings, Tree("tests", EXECUTION), "algorithm")
    assert [diagnostic.hint.split(";")[0] for diagnostic in told] == [
        "training ends after so many epochs or after so many steps"
    ]


@pytest.mark.parametrize(
    "change", [{"group_size": 1}, {"grader": "vibes"}, {"temperature": 0}, {"top_p": 0}, {"loss_type": "ppo"}]
)
def test_the_grpo_schema_refuses(change: Values) -> None:
    assert not validator("grpo").is_valid({"settings": {**SETTINGS["grpo"], **change}, "execution": EXECUTION})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_schema_describes_everything_it_takes(algorithm: str) -> None:
    schema = found(algorithm).schema
    Draft202012Validator.check_schema(schema)
    for group, given in (("settings", SETTINGS[algorithm]), ("execution", EXECUTION)):
        taken = schema["properties"][group]
        assert taken["additionalProperties"] is False
        assert set(taken["properties"]) - OPTIONAL == set(taken["required"]) == set(given)
        assert all(one["description"] and one["type"] for one in taken["properties"].values())


@pytest.mark.parametrize(("devices", "starts"), [(1, 'exec python -m runtime train "$LETHE_CONTRACT"'), (4, "exec torchrun ")])
def test_several_devices_are_started_by_torchrun(devices: int, starts: str) -> None:
    launch = found("sft").render_launch(SETTINGS["sft"], {**EXECUTION, "devices": devices}, {})
    assert launch.startswith(starts)
    assert launch.endswith('-m runtime train "$LETHE_CONTRACT"')


def test_an_arg_that_trl_does_not_know_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    config = render("dpo")
    config["args"]["betta"] = 0.1
    with pytest.raises(JobError, match=r"args \(fields of trl.DPOConfig\): there is no 'betta'; did you mean 'beta'\?"):
        build(config, tmp_path)


def test_an_arg_that_the_runtime_sets_by_itself_is_an_error(tmp_path: Path) -> None:
    config = render("sft")
    config["args"]["output_dir"] = "elsewhere"
    with pytest.raises(JobError, match="there is no 'output_dir'"):
        build(config, tmp_path)


def test_a_process_that_should_be_one_of_two_does_not_train_alone(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"execution.devices is 2, but 1 process\(es\) run; start one a device"):
        build(render("sft", execution={**EXECUTION, "devices": 2}), tmp_path)


def test_what_trl_refuses_is_one_message(tmp_path: Path) -> None:
    config = render("grpo")
    config["args"]["num_generations"] = 1
    with pytest.raises(JobError, match=r"trl.GRPOConfig refuses these args: .*at least 2 generations"):
        build(config, tmp_path)


def found(algorithm: str) -> Part:
    return part("trl", algorithm, Position("test", 1, 1))


def validator(algorithm: str) -> Draft202012Validator:
    return Draft202012Validator(found(algorithm).schema)


def render(algorithm: str, execution: Values | None = None, **change: Any) -> Values:
    """The config of an algorithm as a job reads it, with some settings changed, which the schema must allow."""
    settings = {**SETTINGS[algorithm], **change}
    taken = EXECUTION if execution is None else execution
    validator(algorithm).validate({"settings": settings, "execution": taken})
    config: Values = parse_config(found(algorithm).render_config(settings, taken))
    return config


def build(config: Values, folder: Path) -> Any:
    """TRL's real config object, as a train job makes it."""
    recipe = parse_recipe(config)
    examples = recipe.batch_size * recipe.args.get("num_generations", 1)
    return trl_config(CONFIGS[recipe.algorithm], recipe, folder, "run", examples)


def updates_see(built: Any) -> int:
    """Rows that one process takes for one update."""
    return int(built.per_device_train_batch_size * built.gradient_accumulation_steps)


def other(algorithm: str, name: str) -> Values:
    """A change of one setting to another value that its schema allows."""
    if name in ("epochs", "steps"):
        return {"epochs": 2, "steps": None}
    allowed = found(algorithm).schema["properties"]["settings"]["properties"][name]
    value = SETTINGS[algorithm][name]
    if "enum" in allowed:
        return {name: next(choice for choice in reversed(allowed["enum"]) if choice != value)}
    if allowed["type"] == "boolean":
        return {name: not value}
    return {name: value + 2 if allowed["type"] == "integer" else value / 2 or 0.25}
