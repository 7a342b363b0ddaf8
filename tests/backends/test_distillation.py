"""The parts that learn from a teacher: their templates render what the real packages take; what their rules refuse."""

from __future__ import annotations

import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from trl.import_utils import TRLExperimentalWarning
from trl.trainer.distillation_config import DistillationConfig

from compiler.backends import Part, part
from runtime.train.pi_distill import PiDistillConfig
from runtime.train.recipe import OWNED, parse_recipe, trl_config
from tests.backends import catalog
from tests.backends.test_verl import on_top_of_verl

with warnings.catch_warnings():
    warnings.simplefilter("ignore", TRLExperimentalWarning)
    from trl.experimental.sdft import SDFTConfig

Values = dict[str, Any]
CONFIGS = {"sdft": SDFTConfig, "distill_trl": DistillationConfig, "pi_distill": PiDistillConfig}
NAMES = sorted(CONFIGS)


def values(name: str, **settings: Any) -> tuple[Part, Values]:
    """The catalog's settings of an algorithm on GSM8K's domain, with some changed; on one device, as tests have."""
    trained = catalog.catalog().models["algorithms", name]
    what = part(trained.backend, trained.trainer or name, catalog.HERE)  # type: ignore[union-attr]
    place = catalog.catalog().models["domains", "math"]
    given = {"grader": "math", "prompt": catalog.PROMPTS["base"], "teacher_model": "qwen3_32b"}
    found = {**trained.settings, **place.algorithms[name]}  # type: ignore[union-attr]
    found |= {key: value for key, value in given.items() if key in what.takes("settings")}
    execution = {**trained.execution, "report_to": "none", "devices": 1}  # type: ignore[union-attr]
    return what, {"settings": {**found, **settings}, "execution": execution}


def built(name: str, folder: Path, **settings: Any) -> Any:
    """The real package's config object, as a train job makes it."""
    what, given = values(name, **settings)
    assert catalog.wrong(what, given) == []
    recipe = parse_recipe(catalog.rendered(what, given))
    return trl_config(CONFIGS[name], recipe, folder, "run", recipe.batch_size * recipe.args.get("num_generations", 1))


@pytest.fixture(autouse=True)
def _places(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OUT", "IN_DATA", "IN_START", "IN_TEACHER"):
        monkeypatch.setenv(f"LETHE_{name}", f"/store/{name.rpartition('_')[2].lower()}")
    monkeypatch.setenv("WANDB_PROJECT", "lethe")
    monkeypatch.setenv("WANDB_NAME", "on_distill_math_base_4b")


@pytest.mark.parametrize("name", NAMES)
def test_every_rendered_arg_is_a_field_of_the_real_config(name: str) -> None:
    config = catalog.rendered(*values(name))
    assert set(config["args"]) <= {field.name for field in fields(CONFIGS[name])} - OWNED


OPSD: Values = {"objective": "opsd", "alpha_start": None, "alpha_end": None, "alpha_steps": None}

# algorithm, a change of settings, and what the real config then holds
ARRIVES: list[tuple[str, Values, Values]] = [
    *((name, {"lr": 3e-4}, {"learning_rate": 3e-4}) for name in NAMES),
    *((name, {"epochs": None, "steps": 9}, {"max_steps": 9}) for name in NAMES),
    *((name, {"epochs": 2, "steps": None}, {"num_train_epochs": 2, "max_steps": -1}) for name in NAMES),
    *((name, {"precision": "fp32"}, {"bf16": False, "fp16": False}) for name in NAMES),
    *((name, {"seed": 11}, {"seed": 11, "data_seed": 11}) for name in NAMES),
    *((name, {"temperature": 0.5}, {"temperature": 0.5}) for name in NAMES),
    *((name, {"top_p": 0.9}, {"top_p": 0.9}) for name in NAMES),
    ("sdft", {"warmup_steps": 7}, {"warmup_steps": 7}),
    ("sdft", {"divergence": "reverse_kl"}, {"distillation_alpha": 1.0, "distillation_mode": "full_logits"}),
    ("sdft", {"divergence": "forward_kl"}, {"distillation_alpha": 0.0}),
    ("sdft", {"divergence": "jsd"}, {"distillation_alpha": 0.5}),
    ("sdft", {"kl_estimator": "sampled"}, {"distillation_mode": "sampled_token"}),
    ("sdft", {"teacher": "ema", "ema_rate": 0.05}, {"teacher_model_kind": "ema", "teacher_update_rate": 0.05}),
    ("sdft", {"teacher": "start"}, {"teacher_model_kind": "base"}),
    ("sdft", {"teacher": "student"}, {"teacher_model_kind": "live"}),
    ("sdft", {"skipped_tokens": 5}, {"num_loss_tokens_to_skip": 5}),
    ("sdft", {"rollouts_per_prompt": 4}, {"num_generations": 4, "generation_batch_size": 128}),
    ("sdft", {"max_answer_tokens": 99}, {"max_completion_length": 99, "max_prompt_length": None}),
    ("distill_trl", {"divergence": 0.25}, {"beta": 0.25}),
    ("distill_trl", {"max_answer_tokens": 99}, {"max_completion_length": 99}),
    ("pi_distill", {"schedule": "constant", "warmup_steps": 5}, {"lr_scheduler_type": "constant_with_warmup"}),
    ("pi_distill", {"group_size": 3, "updates_per_batch": 2}, {"group_size": 3, "updates_per_round": 2}),
    ("pi_distill", {"alpha_start": 0.1, "alpha_end": 0.9}, {"alpha_start": 0.1, "alpha_end": 0.9}),
    ("pi_distill", {"alpha_steps": 4}, {"alpha_updates": 4}),
    ("pi_distill", {"kl_coef": 0.5, "kl_estimator": "sampled"}, {"kl_coef": 0.5, "kl_estimator": "sampled"}),
    ("pi_distill", {"clip_low": 0.1, "clip_high": 0.3}, {"clip_low": 0.1, "clip_high": 0.3}),
    ("pi_distill", {"scale_rewards": "group"}, {"scale_rewards": True}),
    ("pi_distill", {"drop_uniform_groups": False}, {"drop_uniform_groups": False}),
    ("pi_distill", {}, {"objective": "pi_distill", "own": False}),
    ("pi_distill", OPSD, {"objective": "opsd", "own": True, "kl_coef": 0.25}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "expected"), ARRIVES)
def test_a_setting_arrives_in_the_real_config(name: str, change: Values, expected: Values, tmp_path: Path) -> None:
    found = built(name, tmp_path, **change)
    assert {key: getattr(found, key) for key in expected} == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_changes_the_config(name: str) -> None:
    what, given = values(name)
    known = what.schema["properties"]["settings"]["properties"]
    lost = []
    for key in what.schema["properties"]["settings"]["required"]:
        value, allowed = given["settings"][key], known[key]
        other = next((one for one in allowed.get("enum", []) if one != value), None)
        if other is None:
            other = (not value) if isinstance(value, bool) else f"{value}x" if isinstance(value, str) else (value or 1) + 1
        if catalog.rendered(what, {**given, "settings": {**given["settings"], key: other}}) == catalog.rendered(what, given):
            lost.append(key)
    assert lost == []


REFUSED = [
    ("sdft", {"kl_estimator": "sampled", "divergence": "jsd"}, "the sampled token alone estimates reverse_kl"),
    (
        "sdft",
        {"adapter": {"type": "lora", "rank": 8, "alpha": 8, "dropout": 0, "targets": "all-linear"}},
        "averages its two factors",
    ),
    ("sdft", {"schedule": "constant"}, "constant has no warm-up"),
    ("sdft", {"demonstration": "Look at the example."}, "settings.demonstration"),
    ("sdft", {"divergence": "js"}, "settings.divergence: 'js' is not one of"),
    ("sdft", {"ema_rate": 0}, "settings.ema_rate: 0 is less than or equal"),
    ("sdft", {"steps": 10}, "training ends after so many epochs"),
    ("distill_trl", {"divergence": 1.5}, "1.5 is greater than the maximum"),
    ("distill_trl", {"teacher_precision": "int8"}, "'int8' is not one of"),
    ("distill_trl", {"schedule": "constant", "warmup_steps": 3}, "constant has no warm-up"),
    ("distill", {"divergence": "k1"}, "does not depend on the teacher"),
    ("distill", {"divergence": "kl"}, "does not depend on the teacher"),
    ("distill", {"divergence": "forward_kl_topk", "policy_gradient": True}, "only the sampled token counts"),
    ("distill", {"topk": 0}, "0 is less than the minimum of 1"),
    (
        "distill",
        {"batch_size": 15, "rollouts_per_prompt": 1},
        "must be a multiple of (devices - teacher_devices) x micro_batch_size",
    ),
    ("pi_distill", {"batch_size": 0}, "0 is less than the minimum"),
    ("pi_distill", {"objective": "opsd"}, "opsd has none; set alpha_start, alpha_end and alpha_steps, or all to null"),
    ("pi_distill", {**OPSD, "objective": "pi_distill"}, "pi_distill weighs the teacher's objective by alpha"),
    ("pi_distill", {**OPSD, "alpha_steps": 3}, "opsd has none"),
    ("pi_distill", {"objective": "rl"}, "settings.objective: 'rl' is not one of"),
]


@pytest.mark.parametrize(("name", "change", "message"), REFUSED)
def test_a_study_is_told(name: str, change: Values, message: str) -> None:
    what, given = values(name, **change)
    if name == "distill":
        given["execution"]["devices"] = 2
    assert any(message in said for said in catalog.wrong(what, given)), catalog.wrong(what, given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher_devices": 2}, "the student needs at least one of the others"),
        ({"teacher_devices": 3, "devices": 4, "teacher_tensor_parallel": 2}, "teacher_tensor_parallel must divide"),
        ({"devices": 4, "tensor_parallel": 2}, "tensor_parallel must divide the number of the student's GPUs"),
    ],
)
def test_gpus_are_the_students_or_the_teachers(change: Values, message: str) -> None:
    what, given = values("distill")
    given["execution"] |= {"devices": 2, **change}
    assert any(message in said for said in catalog.wrong(what, given)), catalog.wrong(what, given)


def test_verl_is_given_a_teacher_and_gpus_for_it() -> None:
    what, given = values("distill")
    given["execution"] |= {"devices": 4, "teacher_devices": 2, "teacher_tensor_parallel": 2}
    assert catalog.wrong(what, given) == []
    seen = on_top_of_verl({key: value for key, value in catalog.rendered(what, given).items() if key != "package"})
    assert OmegaConf.select(seen, "trainer.n_gpus_per_node") == 2
    found = OmegaConf.to_container(seen.distillation, resolve=True)
    assert isinstance(found, dict)
    assert (found["enabled"], found["nnodes"], found["n_gpus_per_node"]) == (True, 1, 2)
    teacher = found["teacher_models"]["teacher_model"]
    assert teacher["model_path"] == "/store/teacher" and teacher["inference"]["tensor_model_parallel_size"] == 2
    assert teacher["inference"]["temperature"] == 1.0  # the student's: both distributions are softened alike
    loss = found["distillation_loss"]
    assert (loss["loss_mode"], loss["use_task_rewards"], loss["use_policy_gradient"]) == ("k3", False, False)
    assert (loss["loss_max_clamp"], loss["log_prob_min_clamp"]) == (None, None)


def test_verls_config_does_not_need_to_know_its_gpus() -> None:
    """A fingerprint is of the config with every execution value blank."""
    what, given = values("distill")
    blank = {**given, "execution": dict.fromkeys(what.takes("execution"))}
    assert catalog.rendered(what, blank)["trainer"]["n_gpus_per_node"] is None


@pytest.mark.parametrize("name", ["dpo", "sdft", "sft", "grpo"])
def test_what_is_divided_among_gpus_is_no_part_of_the_result(name: str) -> None:
    what = part("trl", name, catalog.HERE)
    allowed = what.schema["properties"]["execution"]["properties"]["sharding"]
    assert allowed["enum"] == ["none", "fsdp", None] and "sharding" not in what.schema["properties"]["execution"]["required"]
    if name in ("dpo", "sdft"):  # the catalog's own are for TRL
        what, given = values(name)
        assert catalog.rendered(what, given)["execution"]["sharding"] == "fsdp"
        blank = {**given, "execution": dict.fromkeys(what.takes("execution"))}
        assert "sharding" not in catalog.rendered(what, blank)["execution"]


def test_precision_says_how_weights_are_held() -> None:
    for precision, dtype in (("fp32", torch.float32), ("bf16_mixed", torch.float32), ("bf16", torch.bfloat16)):
        recipe = parse_recipe(catalog.rendered(*values("sdft", precision=precision)))
        assert getattr(torch, recipe.model_dtype) == dtype
