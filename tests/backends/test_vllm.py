"""The jobs that vLLM samples for are the runtime's own `generate` and `evaluate`, told of another engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from compiler.backends import part
from compiler.language.definitions import Dataset, Domain
from tests.backends import catalog

TASKS = [{"name": name, "grader": name, "items": 100} for name in catalog.DOMAINS]


def generation(dataset: str = "same_family", domain: str = "math") -> tuple[Any, dict[str, Any]]:
    found, place = catalog.catalog().get(Dataset, dataset, catalog.HERE), catalog.catalog().get(Domain, domain, catalog.HERE)
    assert found.traces is not None
    settings = {**found.traces.settings, **place.datasets[dataset], "grader": place.grader}
    return part("vllm", "generate", catalog.HERE), {"settings": settings, "execution": dict(found.traces.execution)}


@pytest.mark.parametrize("domain", catalog.DOMAINS)
@pytest.mark.parametrize("dataset", ["same_family", "cross_family", "pairs", "actions"])
def test_a_teachers_config_says_all_that_the_runtime_reads(dataset: str, domain: str) -> None:
    what, values = generation(dataset, domain)
    assert catalog.wrong(what, values) == []
    config = catalog.rendered(what, values)
    assert config["engine"] == "vllm" and config["execution"] == values["execution"]
    assert {name: config[name] for name in values["settings"]} == values["settings"]


def test_what_a_teacher_writes_fits_beside_its_prompt() -> None:
    for dataset in ("same_family", "cross_family", "pairs"):
        for domain in catalog.DOMAINS:
            values = generation(dataset, domain)[1]
            asked = catalog.catalog().get(Domain, domain, catalog.HERE).algorithms["grpo"]["max_prompt_tokens"]
            assert asked + values["settings"]["max_new_tokens"] <= values["execution"]["max_model_len"]


def test_the_domains_suite_is_greedy_on_every_domain() -> None:
    what, values = catalog.suite("domains", tasks=TASKS)
    assert catalog.wrong(what, values) == []
    config = catalog.rendered(what, values)
    assert config["temperature"] == 0 and [task["name"] for task in config["tasks"]] == ["math", "code", "qa"]


@pytest.mark.parametrize("kind", ["generate", "evaluate"])
def test_both_engines_take_the_same_settings(kind: str) -> None:
    """So that a study changes its engine by one word. How many answers share a batch is vLLM's business."""
    native = part("native", kind, catalog.HERE).schema["properties"]["settings"]["properties"]
    ours = part("vllm", kind, catalog.HERE).schema["properties"]["settings"]["properties"]
    assert {name: value for name, value in native.items() if name != "batch"} == {
        name: value for name, value in ours.items() if name != "options"
    }


MUTATIONS: list[tuple[Mapping[str, Any], str]] = [
    ({"settings": {"best_of": 4}}, "settings: Additional properties"),
    ({"settings": {"samples": 0}}, "settings.samples: 0 is less than"),
    ({"settings": {"top_p": 0}}, "settings.top_p: 0 is less than or equal"),
    ({"settings": {"temperature": -1}}, "settings.temperature: -1 is less than"),
    ({"settings": {"max_new_tokens": "2k"}}, "settings.max_new_tokens: '2k' is not of type"),
    ({"execution": {"tensor_parallel": 3}}, "execution.tensor_parallel: 3 is not one of"),
    ({"execution": {"gpu_memory_utilization": 1}}, "execution.gpu_memory_utilization: 1 is greater than"),
]


@pytest.mark.parametrize(("change", "message"), MUTATIONS)
def test_the_schema_refuses(change: Mapping[str, Mapping[str, Any]], message: str) -> None:
    what, values = generation()
    for group, entries in change.items():
        values[group] |= entries
    assert any(found.startswith(message) for found in catalog.wrong(what, values)), catalog.wrong(what, values)


def test_the_script_is_the_runtimes() -> None:
    what, values = generation()
    job = {"id": "generate/x", "kind": "generate", "name": "x", "cell": None}
    assert (
        what.render_launch(values["settings"], values["execution"], job) == 'exec python -m runtime generate "$LETHE_CONTRACT"'
    )
