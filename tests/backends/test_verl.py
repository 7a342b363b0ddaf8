"""VeRL's configs are what VeRL 0.9.1 takes: every key is one of its own, every value lands where VeRL reads it."""

from __future__ import annotations

import copy
import importlib.metadata
import json
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from jinja2 import Environment
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError

from compiler.backends import part
from runtime import verl_checkpoint
from runtime.errors import JobError
from runtime.job import Input, Job
from runtime.models import train_tokenizer
from runtime.parquet import write_verl
from runtime.prompts import render_completion, render_prompt
from runtime.rewards import compute_score
from tests.backends import catalog

PATHS = {
    "LETHE_OUT": "/store/out", "LETHE_IN_DATA": "/store/data", "LETHE_IN_START": "/store/start",
    "WANDB_PROJECT": "lethe", "WANDB_NAME": "gt_sft_math_base_4b",
}  # fmt: skip
# VeRL reads this key and declares it nowhere (verl/trainer/ppo/reward.py), so a struct check would refuse it.
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
    own = {key: value for key, value in copy.deepcopy(dict(config)).items() if key not in ("defaults", "hydra")}
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
    "trainer.project_name": "lethe", "trainer.experiment_name": "gt_sft_math_base_4b", "trainer.logger": ["console", "wandb"],
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
    "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1, "ray_kwargs.ray_init.num_cpus": 32,
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
    for place, text in strings_of(catalog.rendered(*catalog.algorithm(algorithm, "math", start))):
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
    lines = what.render_launch(values["settings"], values["execution"], {}).splitlines()
    assert lines[0].startswith("python -m runtime begin") and lines[-1].startswith("python -m runtime finish")
    launched = " ".join(lines)
    if algorithm == "sft":
        assert "torchrun --standalone --nproc-per-node=2 -m verl.trainer.sft_trainer" in launched
    else:
        assert "-m verl.trainer.main_ppo" in launched and "RAY_AUTH_MODE=token" in launched


# --- prompts -----------------------------------------------------------------------------------------------------------


class Jinja:
    """Renders a chat template as transformers does: trimmed blocks, `eos_token` known."""

    def __init__(self, template: str, eos: str) -> None:
        self.template, self.eos = Environment(trim_blocks=True, lstrip_blocks=True).from_string(template), eos

    def __call__(self, messages: list[dict[str, str]], *, prompt: bool = False, **more: Any) -> str:
        return self.template.render(messages=messages, add_generation_prompt=prompt, eos_token=self.eos, **more)


def template_of(start: str, thinking: bool = False) -> str:
    what, values = catalog.algorithm("sft", "math", start)
    values["settings"]["prompt"]["thinking"] = thinking
    found = catalog.rendered(what, values)["model"]["custom_chat_template"]
    assert isinstance(found, str)
    return found


QUESTION = {"role": "user", "content": "What is 2+2?"}
ANSWER = {"role": "assistant", "content": "It is 4."}
EOS = "<|im_end|>"


@pytest.mark.parametrize(("start", "thinking"), [("base", False), ("safe", False), ("safe", True)])
def test_turn_by_turn_is_the_whole_conversation(start: str, thinking: bool) -> None:
    """VeRL renders each turn by itself and leaves the generation prompt's length out of the answer's loss."""
    render = Jinja(template_of(start, thinking), EOS)
    prompt = render([QUESTION], prompt=True)
    opening = prompt.removeprefix(render([QUESTION]))
    assert render([QUESTION]) + render([ANSWER]) == render([QUESTION, ANSWER])
    assert render([ANSWER]).startswith(opening)
    learned = render([ANSWER]).removeprefix(opening)
    assert learned == (" It is 4." if start == "base" else "It is 4.") + EOS
    assert render([QUESTION, ANSWER]) == prompt + learned


@pytest.mark.parametrize("thinking", [False, True])
def test_a_chat_prompt_is_qwen3s_own(thinking: bool) -> None:
    own = Path(str(importlib.metadata.distribution("trl").locate_file("trl/chat_templates/qwen3.jinja"))).read_text(
        encoding="utf-8"
    )
    ours, qwen = Jinja(template_of("safe", thinking), EOS), Jinja(own, EOS)
    assert ours([QUESTION], prompt=True) == qwen([QUESTION], prompt=True, enable_thinking=thinking)
    if not thinking:
        assert ours([QUESTION, ANSWER]) + "\n" == qwen([QUESTION, ANSWER], enable_thinking=False)


def test_a_plain_prompt_is_the_runtimes_own() -> None:
    tokenizer = train_tokenizer(["Q: What is 2+2?\nA: It is 4."], 300)
    prompt = render_prompt(QUESTION["content"], tokenizer)
    whole = prompt + render_completion(ANSWER["content"], tokenizer) + tokenizer.eos_token
    render = Jinja(template_of("base"), tokenizer.eos_token)
    assert render([QUESTION], prompt=True) == prompt and render([QUESTION, ANSWER]) == whole


# --- rewards -----------------------------------------------------------------------------------------------------------


def reward(output: str, *, answer: str = "18", grader: str = "math") -> float:
    info = {"row": json.dumps({"id": "a", "prompt": "?", "answer": answer})}
    return compute_score("prompts", output, answer, info, grader=grader)


def test_the_reward_is_the_graders_verdict() -> None:
    assert [reward(text) for text in ("so \\boxed{18}", "so \\boxed{17}", "", "18 or 17")] == [1.0, 0.0, 0.0, 0.0]
    assert reward("the Paris.", answer="Paris", grader="qa") == 1.0


def test_rewards_of_many_threads_do_not_mix() -> None:
    outputs = [f"\\boxed{{{number}}}" for number in range(40)]
    found: dict[str, float] = {}
    threads = [threading.Thread(target=lambda text=text: found.update({text: reward(text)})) for text in outputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [text for text in outputs if found[text]] == ["\\boxed{18}"]


def test_a_reward_needs_the_row_it_was_compiled_with() -> None:
    with pytest.raises(JobError, match=r"no extra_info\.row"):
        compute_score("prompts", "18", "18", {}, grader="math")
    with pytest.raises(JobError, match="is not the row's answer"):
        compute_score("prompts", "18", "17", {"row": '{"answer": "18"}'}, grader="math")
    with pytest.raises(JobError, match="there is no 'maths'"):
        reward("18", grader="maths")


# --- what a run leaves -------------------------------------------------------------------------------------------------


def finished_run(folder: Path, rows: int, step: int | None, *, algorithm: str = "sft") -> Job:
    """A job whose output folder is what VeRL leaves after `step` updates on `rows` rows."""
    config = catalog.rendered(*catalog.algorithm(algorithm, "math"))
    start, data, out = folder / "start", folder / "data", folder / "out"
    for each in (start, data, out):
        each.mkdir()
    train_tokenizer(["What is 2+2? It is 4."], 300).save_pretrained(start)
    if algorithm == "sft":
        write_verl(
            data / "train.parquet", [{"id": i, "prompt": "?", "completion": "!"} for i in range(rows)], "dataset.sft", "truth"
        )
    else:
        asked = [{"id": i, "prompt": "2+2? " * (1000 if i == 0 else 1), "answer": "4"} for i in range(rows)]
        write_verl(data / "train.parquet", asked, "dataset.rl", "prompts")
    if step is not None:
        add_checkpoint(out, step, algorithm)
        (out / "latest_checkpointed_iteration.txt").write_text(f"{step}")
    inputs = {"start": Input("a", "checkpoint.hf", start, "f"), "data": Input("b", "dataset.sft", data, "f")}
    return Job("train/x", "train", "s", "f" * 64, None, config, inputs, out)


def model_folder(out: Path, step: int, algorithm: str) -> Path:
    return out / f"global_step_{step}" / ("actor" if algorithm == "grpo" else "")


def add_checkpoint(out: Path, step: int, algorithm: str) -> None:
    model = model_folder(out, step, algorithm)
    (model / "huggingface").mkdir(parents=True)
    (model / "model_world_size_1_rank_0.pt").touch()
    (model / "huggingface" / "chat_template.jinja").write_text("verl's")


def test_a_finished_run_points_at_its_model_with_the_starts_tokenizer(tmp_path: Path) -> None:
    job = finished_run(tmp_path, 35, 6)
    assert verl_checkpoint.close(job) == {"updates": 6, "rows": 35, "kept": [6]}
    final = job.out / "final"
    assert final.resolve() == job.out / "global_step_6" and not (final / "huggingface" / "chat_template.jinja").exists()
    assert (final / "huggingface" / "tokenizer.json").read_bytes() == (tmp_path / "start" / "tokenizer.json").read_bytes()
    assert verl_checkpoint.close(job)["updates"] == 6


def test_prompts_that_verl_leaves_out_are_not_counted(tmp_path: Path) -> None:
    job = finished_run(tmp_path, 33, 6, algorithm="grpo")
    assert verl_checkpoint.close(job) == {"updates": 6, "rows": 32, "kept": [6]}
    assert (job.out / "final").resolve() == job.out / "global_step_6" / "actor"


@pytest.mark.parametrize("algorithm", ["sft", "grpo"])
def test_every_checkpoint_that_verl_kept_has_the_name_of_its_step(tmp_path: Path, algorithm: str) -> None:
    job = finished_run(tmp_path, 35 if algorithm == "sft" else 33, 6, algorithm=algorithm)
    add_checkpoint(job.out, 2, algorithm)
    (job.out / "global_step_4").mkdir()  # one without shards is none
    assert verl_checkpoint.close(job)["kept"] == [2, 6]
    kept = job.out / "steps/2"
    assert kept.resolve() == model_folder(job.out, 2, algorithm) and kept.readlink().parts[:2] == ("..", "global_step_2")
    assert (kept / "huggingface/tokenizer.json").read_bytes() == (tmp_path / "start/tokenizer.json").read_bytes()
    assert not (kept / "huggingface/chat_template.jinja").exists()


def test_a_run_that_is_past_a_step_to_be_kept_begins_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = finished_run(tmp_path, 35, 5)
    add_checkpoint(job.out, 2, "sft")
    verl_checkpoint.start_over_if_past(job.id, job.out, (2, 5, 6))
    assert (job.out / "global_step_5").exists() and capsys.readouterr().out == ""
    verl_checkpoint.start_over_if_past(job.id, job.out, (2, 3))
    assert "train/x has passed step 3 without keeping its checkpoint" in capsys.readouterr().out
    assert not list(job.out.glob("global_step_*")) and not (job.out / verl_checkpoint.LATEST).exists()
    verl_checkpoint.start_over_if_past(job.id, job.out, (2, 3))


def test_a_run_cut_short_is_no_result(tmp_path: Path) -> None:
    job = finished_run(tmp_path, 35, 5)
    with pytest.raises(verl_checkpoint.EndedEarly, match="ended at update 5 of 6") as caught:
        verl_checkpoint.close(job)
    assert caught.value.exit_code == 75 and not (job.out / "final").exists()


def test_a_run_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="saved no checkpoint"):
        verl_checkpoint.close(finished_run(tmp_path, 35, None))


def test_a_pointer_to_nothing_says_so(tmp_path: Path) -> None:
    job = finished_run(tmp_path, 35, 6)
    (job.out / "global_step_6" / "model_world_size_1_rank_0.pt").unlink()
    with pytest.raises(JobError, match="holds no model shards"):
        verl_checkpoint.close(job)


@pytest.mark.parametrize(
    ("rows", "updates"), [(7473, 1401), (7397, 1386), (7500, 1404), (6946, 1302), (3151, 588), (6568, 1230)]
)
def test_planned_updates_are_the_studys(rows: int, updates: int) -> None:
    """The six supervised runs of the study: 3 epochs of whole batches of 16."""
    config = catalog.rendered(*catalog.algorithm("sft", "math"))
    assert verl_checkpoint.planned_updates(config, rows) == updates


def test_steps_win_over_epochs_and_too_few_rows_are_an_error() -> None:
    what, values = catalog.algorithm("sft", "math")
    with pytest.raises(JobError, match="15 rows do not fill one batch of 16"):
        verl_checkpoint.planned_updates(catalog.rendered(what, values), 15)
    values["settings"] |= {"epochs": None, "steps": 12}
    assert verl_checkpoint.planned_updates(catalog.rendered(what, values), 5) == 12


def test_verls_parquet_has_the_columns_that_the_configs_name(tmp_path: Path) -> None:
    file = tmp_path / "train.parquet"
    write_verl(file, [{"id": "a", "prompt": "?", "answer": "4"}], "dataset.rl", "prompts")
    config = catalog.rendered(*catalog.algorithm("grpo", "math"))
    row = pyarrow.parquet.read_table(file).to_pylist()[0]
    assert {config["data"]["prompt_key"], config["data"]["reward_fn_key"], "reward_model", "extra_info"} <= set(row)
    found = compute_score(
        row["data_source"], "\\boxed{4}", row["reward_model"]["ground_truth"], row["extra_info"], grader="math"
    )
    assert found == 1.0
