"""The catalog holds together: names lead somewhere, settings are what their backends take, numbers are the study's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from compiler.backends import part
from compiler.language.definitions import Algorithm, Dataset, Domain, Method, Scale, Suite, Teacher
from compiler.language.places import Cluster
from tests.backends import catalog

CATALOG = catalog.catalog()
HERE = catalog.HERE
METHODS = ("gt_sft", "sf_sft", "cf_sft", "self", "on_rl", "off_rl", "pi")
ALGORITHMS = ("sft", "grpo", "dpo", "sdft", "pi_distill")
CLUSTERS = ("mila", "narval", "slurm", "local")


def test_the_catalog_has_what_the_study_names() -> None:
    assert set(METHODS) <= set(CATALOG.names("methods")) and set(ALGORITHMS) <= set(CATALOG.names("algorithms"))
    assert set(catalog.DOMAINS) <= set(CATALOG.names("domains")) and {"1.7b", "4b", "8b", "14b"} <= set(CATALOG.names("scales"))
    assert {"forgetting", "domains"} <= set(CATALOG.names("suites")) and set(CLUSTERS) <= set(CATALOG.names("clusters"))


@pytest.mark.parametrize("method", METHODS)
def test_a_methods_stages_name_an_algorithm_and_data_that_it_reads(method: str) -> None:
    reads = {
        "sft": "dataset.sft", "grpo": "dataset.rl", "dpo": "dataset.preference",
        "sdft": "dataset.privileged", "pi_distill": "dataset.privileged", "distill": "dataset.rl",
    }  # fmt: skip
    for stage in CATALOG.get(Method, method, HERE).stages:
        assert CATALOG.get(Dataset, stage.dataset, HERE).type == reads[stage.algorithm]


@pytest.mark.parametrize("domain", catalog.DOMAINS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_on_every_domain_is_complete_and_valid(algorithm: str, domain: str) -> None:
    what, values = catalog.algorithm(algorithm, domain)
    assert catalog.wrong(what, values) == []
    assert isinstance(catalog.rendered(what, values), dict)


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_cluster_has_the_environments_and_the_resources_that_the_catalog_asks_for(cluster: str) -> None:
    found = CATALOG.get(Cluster, cluster, HERE)
    asked = {"cpu", "train"}
    environments = set()
    for name in ALGORITHMS:
        algorithm = CATALOG.get(Algorithm, name, HERE)
        asked.add(algorithm.resources)
        environments.add(part(algorithm.backend, name, HERE).environment)
    for name in CATALOG.names("datasets"):
        traces = CATALOG.get(Dataset, name, HERE).traces
        asked |= {traces.resources} if traces else set()
    for name in ("forgetting", "domains"):
        suite = CATALOG.get(Suite, name, HERE)
        asked.add(suite.resources)
        environments.add(part(suite.backend, "evaluate", HERE).environment)
    assert asked <= set(found.resources) and environments <= set(found.environments)


def test_a_traces_model_is_the_start_or_a_teacher_and_fits_its_gpus() -> None:
    mila = CATALOG.get(Cluster, "mila", HERE)
    found = [CATALOG.get(Dataset, name, HERE).traces for name in CATALOG.names("datasets")]
    sampled = [traces for traces in found if traces and traces.backend == "vllm"]
    assert sampled
    for traces in sampled:
        assert traces.model in ("start", "previous") or CATALOG.get(Teacher, traces.model, HERE).hub
        assert traces.execution["tensor_parallel"] <= mila.resources[traces.resources].gpus


def test_milas_main_partition_is_not_asked_for_more_than_it_gives_one_user() -> None:
    resources = CATALOG.get(Cluster, "mila", HERE).resources
    main = {name: asked for name, asked in resources.items() if asked.partition == "main"}
    assert main
    for name, asked in main.items():
        assert asked.gpus <= 2 and asked.cpus <= 8 and int(asked.mem.removesuffix("G")) <= 48, name


def test_base_and_safe_are_two_models_asked_in_two_ways() -> None:
    for name in ("1.7b", "4b", "8b", "14b"):
        starts = CATALOG.get(Scale, name, HERE).starts
        base, safe = starts["base"], starts["safe"]
        assert base.hub == f"{safe.hub}-Base" and safe.hub == f"Qwen/Qwen3-{name.upper()}"
        assert base.prompt == {"template": "plain", "thinking": False} and safe.prompt == {
            "template": "chat",
            "thinking": False,
        }


STUDY: list[tuple[str, dict[str, Any]]] = [
    ("sft", {"lr": 1e-5, "schedule": "cosine", "warmup_ratio": 0.05, "weight_decay": 0.01, "batch_size": 16, "epochs": 3}),
    ("grpo", {"lr": 1e-6, "batch_size": 16, "group_size": 4, "kl_coef": 0.0, "entropy_coef": 0.0, "attention": "sdpa"}),
    ("sdft", {"warmup_steps": 10, "weight_decay": 0.0, "rollouts_per_prompt": 1, "divergence": "reverse_kl", "teacher": "ema"}),
    ("pi_distill", {"lr": 5e-6, "kl_coef": 0.25, "clip_low": 0.2, "clip_high": 0.2, "temperature": 0.75, "group_size": 5,
                    "steps": 600, "updates_per_batch": 3, "batch_size": 64, "drop_uniform_groups": True}),
    ("dpo", {"beta": 0.1, "lr": 1e-6, "batch_size": 64, "loss_type": "sigmoid"}),
]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "values"), STUDY)
def test_the_numbers_are_the_papers(algorithm: str, values: dict[str, Any]) -> None:
    settings = catalog.algorithm(algorithm, "math")[1]["settings"]
    assert {name: settings[name] for name in values} == values


def test_every_algorithm_has_the_same_precision() -> None:
    """Else a difference between methods could be one of precision."""
    assert {catalog.algorithm(name, "math")[1]["settings"]["precision"] for name in ALGORITHMS} == {"bf16_mixed"}


def test_a_teacher_is_asked_once_for_both_methods_that_use_it() -> None:
    same, actions = (CATALOG.get(Dataset, name, HERE).traces for name in ("same_family", "actions"))
    assert same == actions
    for domain in catalog.DOMAINS:
        place = CATALOG.get(Domain, domain, HERE)
        assert place.datasets["same_family"] == place.datasets["actions"]


def test_a_trained_answer_may_be_as_long_as_a_sampled_one() -> None:
    for domain in catalog.DOMAINS:
        place = CATALOG.get(Domain, domain, HERE)
        grpo = place.algorithms["grpo"]
        longest = grpo["max_prompt_tokens"] + grpo["max_answer_tokens"]
        assert place.algorithms["sft"]["max_length"] >= longest and place.algorithms["dpo"]["max_length"] >= longest


NATIVE = [
    ("pi_distill", "settings.group_size", 1, "settings.group_size: 1 is less than the minimum of 2"),
    ("pi_distill", "settings.alpha_end", 1.5, "settings.alpha_end: 1.5 is greater than"),
    ("pi_distill", "settings.beta", 0.25, "settings: Additional properties"),
    ("pi_distill", "settings.privileged", "Hint:", "settings.privileged"),
]


@pytest.mark.parametrize(("algorithm", "place", "value", "message"), NATIVE)
def test_their_schemas_refuse(algorithm: str, place: str, value: Any, message: str) -> None:
    what, values = catalog.algorithm(algorithm, "math")
    group, key = place.split(".")
    values[group][key] = value
    assert any(found.startswith(message) for found in catalog.wrong(what, values)), catalog.wrong(what, values)


def test_a_fetched_model_is_named_by_its_hub_and_revision() -> None:
    what = part("native", "fetch", HERE)
    good: dict[str, Any] = {
        "settings": {"hub": "Qwen/Qwen3-4B-Base", "revision": "main", "prompt": catalog.PROMPTS["base"]},
        "execution": {},
    }
    assert catalog.wrong(what, good) == []
    for name, value in {"hub": "/models/qwen", "revision": "", "token": "x"}.items():
        assert catalog.wrong(what, {**good, "settings": {**good["settings"], name: value}}), name


def test_the_catalog_is_plain_yaml_for_other_readers_too() -> None:
    """Floats carry their point, so a YAML 1.1 reader does not take them for text."""
    text = Path("specs/catalog/algorithms.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["algorithms"]["sft"]["settings"]["lr"] == 1e-5
