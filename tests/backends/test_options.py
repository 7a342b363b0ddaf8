"""Options of the packages in a study: checked at the user's own line, laid over the config, and part of the fingerprint."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from compiler.backends import TEMPLATES, part
from compiler.diagnostics import Position
from tests.compiler.project import REPOSITORY, Project

HERE = Position("tests")
STUDY: dict[str, Any] = {
    "study": "toy", "about": "A small study", "cluster": "mila", "tracking": {"wandb": "disabled"},
    "axes": {"method": ["on_rl"], "domain": ["math"], "start": ["base"], "scale": ["4b"]},
    "evaluate": {"suites": ["forgetting"]},
}  # fmt: skip
JOBS = {"sft": "gt_sft", "grpo": "on_rl", "dpo": "off_rl"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty folder of specs beside the repository's catalog."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "catalog").symlink_to(REPOSITORY / "specs" / "catalog")
    return Project(tmp_path)


def study(project: Project, algorithm: str, given: str, **more: Any) -> None:
    """A study of one cell whose `set` rule gives an algorithm what stands in `given`, from line 17 of the spec on."""
    said = {**STUDY, "axes": {**STUDY["axes"], "method": [JOBS[algorithm]]}, **more}
    rule = f"rules:\n- set: more\n  where: {{domain: math}}\n  why: a test\n  to:\n    {algorithm}:\n"
    text = yaml.safe_dump(said, sort_keys=False) + rule + "".join(f"      {line}\n" for line in given.splitlines())
    project.spec.write_text(text, encoding="utf-8")


def errors(project: Project) -> list[dict[str, Any]]:
    done = project.lethe("validate", "specs/toy.yaml", "--json")
    found: list[dict[str, Any]] = json.loads(done.out)["errors"]
    return found


def config(project: Project, algorithm: str) -> str:
    done = project.lethe("compile", "specs/toy.yaml")
    assert done.code == 0, done.err
    return (project.tree / "configs" / "train" / f"{JOBS[algorithm]}_math_base_4b.yaml").read_text(encoding="utf-8")


def training(project: Project) -> dict[str, Any]:
    return next(job for name, job in project.jobs().items() if name.startswith("train/"))


# ---- mistakes --------------------------------------------------------------------------------------------------------

WRONG = [
    ("grpo", "actor_rollout_ref: {actor: {tau_poz: 2.0}}", "tau_poz", "unknown key 'tau_poz'", "did you mean 'tau_pos'?"),
    ("grpo", "actor_rollout_ref: {rollout: {enforce_eager: maybe}}", "maybe", "expected true or false", ""),
    ("grpo", "algorithm: {kl_ctrl: {type: adaptiv}}", "adaptiv", "cannot be 'adaptiv'", "did you mean 'adaptive'?"),
    ("grpo", "algorithm: {gamma: 1.5}", "1.5", "expected at most 1", ""),
    ("grpo", "trainer: {nnodez: 2}", "nnodez", "unknown key 'nnodez'", "did you mean 'nnodes'?"),
    (
        "grpo",
        "actor_rollout_ref: {actor: {clip_ratio_c: 4.0}}",
        "clip_ratio_c",
        "that Lethe sets itself",
        "say it with 'clip_dual'",
    ),
    ("grpo", "algorithm: {adv_estimator: gae}", "adv_estimator", "that Lethe sets itself", "leave it out"),
    (
        "grpo",
        "data: {train_batch_size: 8}",
        "train_batch_size",
        "that Lethe sets itself",
        "'batch_size' and 'batches_per_rollout'",
    ),
    ("grpo", "reward: {custom_reward_function: {name: mine}}", "name", "that Lethe sets itself", "leave it out"),
    ("sft", "optim: {learning_rate: 1.0e-3}", "learning_rate", "unknown key 'learning_rate'", "valid here"),
    ("sft", "model: {partial_pretrain: x}", "partial_pretrain", "unknown key", ""),
    ("sft", "data: {balance_dp_token: 3}", "3", "expected true or false", ""),
    ("sft", "optim: {_target_: os.system}", "os.system", "expected 'verl.workers.config.FSDPOptimizerConfig'", ""),
    ("dpo", "learning_rate: 1.0e-3", "learning_rate", "that Lethe sets itself", "say it with 'lr'"),
    ("dpo", "per_device_train_batch_size: 4", "per_device_train_batch_size", "that Lethe sets itself", "'micro_batch_size'"),
    ("dpo", "output_dir: here", "output_dir", "that Lethe sets itself", "leave it out: it follows from the job's folder"),
    ("dpo", "max_prompt_length: 12", "max_prompt_length", "unknown key 'max_prompt_length'", ""),
    ("dpo", "ddp_timeout: soon", "soon", "expected an integer", ""),
    ("dpo", "lr_scheduler_kwargs: 3", "3", "expected a mapping", ""),
]


@pytest.mark.parametrize(("algorithm", "given", "word", "message", "hint"), WRONG)
def test_a_mistake_is_told_at_its_own_word(
    project: Project, algorithm: str, given: str, word: str, message: str, hint: str
) -> None:
    study(project, algorithm, f"options:\n  {given}")
    (found,) = errors(project)
    assert message in found["summary"] and hint in found["hint"]
    at = found["range"]["start"]
    line = project.spec.read_text().splitlines()[at["line"] - 1]
    assert line[at["column"] - 1 :].startswith(word)


def test_every_mistake_is_told_at_once(project: Project) -> None:
    study(project, "grpo", "options:\n  trainer: {nnodez: 2}\n  actor_rollout_ref:\n    actor: {tau_poz: 1, tau_neg: low}")
    assert len(errors(project)) == 3


@pytest.mark.parametrize("options", ["3", "[trainer]", "yes"])
def test_options_that_are_no_mapping_are_refused(project: Project, options: str) -> None:
    study(project, "grpo", f"options: {options}")
    (found,) = errors(project)
    assert "'options' of the settings of algorithm grpo" in found["summary"]


def test_a_definition_of_the_catalog_is_checked_used_or_not(project: Project) -> None:
    spare = {"extends": "grpo", "trainer": "grpo", "settings": {"options": {"trainer": {"nnodez": 2}}}}
    study(project, "grpo", "kl_coef: 0.0", define={"algorithms": {"spare": spare}})
    (found,) = errors(project)
    assert "unknown key 'nnodez'" in found["summary"] and found["hint"] == "did you mean 'nnodes'?"


def test_the_same_option_cannot_be_said_as_a_setting_and_as_execution(project: Project) -> None:
    both = {"data": {"tool_config_path": "a"}}
    settings = {"max_prompt_tokens": 5, "max_answer_tokens": 9, "options": both}
    twice = {"extends": "grpo", "trainer": "grpo", "settings": settings, "execution": {"options": both}}
    method = {"about": "Twice", "stages": [{"algorithm": "twice", "dataset": "prompts"}]}
    study(project, "grpo", "kl_coef: 0.0", define={"algorithms": {"twice": twice}, "methods": {"on_rl": method}})
    project.spec.write_text(project.spec.read_text().replace("    grpo:\n", "    twice:\n"), encoding="utf-8")
    (found,) = errors(project)
    assert "option 'data.tool_config_path' of the execution of algorithm twice" in found["summary"]


# ---- what comes of them ----------------------------------------------------------------------------------------------


def test_an_option_stands_in_the_config_where_the_package_has_it(project: Project) -> None:
    study(project, "grpo", "options:\n  actor_rollout_ref:\n    actor: {tau_pos: 2.5}\n    model: {override_config: {rope: 3}}")
    text = config(project, "grpo")
    said = yaml.safe_load(text)["actor_rollout_ref"]
    assert said["actor"]["tau_pos"] == 2.5
    assert said["model"]["override_config"] == {"attn_implementation": "sdpa", "rope": 3}
    line = next(number for number, line in enumerate(project.spec.read_text().splitlines(), 1) if "tau_pos" in line)
    assert re.search(rf"^    tau_pos: 2\.5  # specs/toy\.yaml:{line}$", text, re.MULTILINE)


def test_an_option_of_trl_stands_among_its_arguments(project: Project) -> None:
    study(project, "dpo", "options: {dataloader_num_workers: 3, lr_scheduler_kwargs: {a: 1}}")
    said = yaml.safe_load(config(project, "dpo"))["args"]
    assert (said["dataloader_num_workers"], said["lr_scheduler_kwargs"]) == (3, {"a": 1})


def test_an_option_under_settings_changes_the_fingerprint(project: Project) -> None:
    found = []
    for given in ("lr: 1.0e-06", "options: {trainer: {balance_batch: false}}", "options: {trainer: {balance_batch: true}}"):
        study(project, "grpo", given)
        config(project, "grpo")
        found.append(training(project)["fingerprint"])
    assert len(set(found)) == 3


def execution(project: Project, options: dict[str, Any] | None) -> tuple[str, str]:
    """The fingerprint and the config of a training whose execution has these options."""
    settings = {"max_prompt_tokens": 5, "max_answer_tokens": 9}
    own = {"extends": "grpo", "trainer": "grpo", "settings": settings, "execution": {"options": options}}
    method = {"about": "Own", "stages": [{"algorithm": "own", "dataset": "prompts"}]}
    study(project, "grpo", "lr: 1.0e-06", define={"algorithms": {"own": own}, "methods": {"on_rl": method}})
    project.spec.write_text(project.spec.read_text().replace("    grpo:\n", "    own:\n"), encoding="utf-8")
    text = config(project, "grpo")
    return training(project)["fingerprint"], text


def test_an_option_under_execution_leaves_the_fingerprint_alone(project: Project) -> None:
    (before, plain), (after, text) = execution(project, None), execution(project, {"trainer": {"balance_batch": False}})
    assert before == after
    assert yaml.safe_load(plain)["trainer"]["balance_batch"] is True
    assert yaml.safe_load(text)["trainer"]["balance_batch"] is False


def test_an_axis_of_options_makes_a_cell_for_each(project: Project) -> None:
    gates = {"narrow": {"options": {"actor_rollout_ref": {"actor": {"tau_pos": 0.5}}}}, "wide": {"lr": 1e-6}}
    study(project, "grpo", "kl_coef: 0.0", axes={**STUDY["axes"], "gate": gates})
    done = project.lethe("compile", "specs/toy.yaml")
    assert done.code == 0, done.err
    narrow = (project.tree / "configs" / "train" / "on_rl_math_base_4b_narrow.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(narrow)["actor_rollout_ref"]["actor"]["tau_pos"] == 0.5


# ---- every part ------------------------------------------------------------------------------------------------------

PARTS = [(file.parts[-3], file.stem) for file in sorted(TEMPLATES.glob("backends/*/options/*.json"))]


@pytest.mark.parametrize(("backend", "what"), PARTS)
def test_every_part_with_options_takes_them_and_names_its_package_in_the_config(backend: str, what: str) -> None:
    found = part(backend, what, HERE)
    assert "options" in found.takes("settings") and "options" in found.takes("execution")
    template = (TEMPLATES / "backends" / backend / f"{what}.yaml.j2").read_text(encoding="utf-8")
    assert "package: {{ part.package | yaml }}" in template


def test_the_version_of_the_package_is_in_the_plan_and_so_in_the_fingerprint(project: Project) -> None:
    study(project, "grpo", "kl_coef: 0.0")
    config(project, "grpo")
    assert training(project)["config"]["package"] == "verl 0.9.1"
