"""Every config that any committed spec generates is one that the real package takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from compiler.backends import part
from runtime.sampling.vllm import command_of
from tests.backends import catalog
from tests.backends.generated import Config, generated, specs
from tests.backends.real import ask_lm_eval, ask_trl, outside

Answer = Mapping[str, str] | None


def of(backend: str) -> list[Config]:
    """The configs of one backend's parts."""
    return [config for (whose, _), configs in generated().items() if whose == backend for config in configs]


def refused(configs: list[Config], answers: list[Answer]) -> dict[str, Answer]:
    """What was refused, and how."""
    return {config.whose: answer for config, answer in zip(configs, answers, strict=True) if answer}


def test_there_is_something_to_ask_about() -> None:
    assert len(specs()) >= 24 and {"verl", "trl", "lm_eval", "vllm", "native"} == {backend for backend, _ in generated()}


@pytest.mark.slow
def test_verl_takes_every_config() -> None:
    trained = [config for config in of("verl") if "defaults" in config.config]
    assert len(trained) >= 19
    assert refused(trained, outside.ask_verl([{"config": config.config, "text": config.text} for config in trained])) == {}


def test_trl_takes_every_config() -> None:
    configs = of("trl")
    assert len(configs) >= 38 and refused(configs, [ask_trl.answer(config.config, {}) for config in configs]) == {}


@pytest.mark.slow
def test_lm_eval_takes_every_config() -> None:
    configs = of("lm_eval")
    assert configs and refused(configs, [ask_lm_eval.answer(config.config, {}) for config in configs]) == {}


@pytest.mark.slow
def test_the_tasks_that_a_suite_may_name_are_those_of_lm_eval() -> None:
    """They are read from its files; one of them, a tag that lm-eval shadows, is known to no one else."""
    shipped = set(part("lm_eval", "evaluate", catalog.HERE).schema["$defs"]["tasks"]["enum"])
    assert ask_lm_eval.tasks() <= shipped and len(shipped - ask_lm_eval.tasks()) <= 1


SERVERS = {"host", "port"}  # the server's own, and no engine's


def test_vllm_has_every_option_that_the_configs_set() -> None:
    """By the options that were extracted from its wheel: those of the server's command line and of each request."""
    configs = of("vllm")
    for found in configs:
        what = "generate" if "samples" in found.config else "evaluate"
        options = part("vllm", what, catalog.HERE).options
        assert options is not None
        execution = found.config["execution"]
        words = command_of(Path("model"), 8000, execution, {})[3:]
        engine = {word[2:].replace("-", "_") for word in words if word.startswith("--")} - SERVERS
        asked = {"max_tokens": found.config["max_new_tokens"], "temperature": found.config["temperature"], "seed": 1}
        own = {"gpu_memory_utilization", "max_model_len"}
        given = {"engine": {name: execution[name] for name in own}, "sampling": asked}
        assert engine <= set(options.schema["properties"]["engine"]["properties"]) and own < engine
        assert [error.message for error in Draft202012Validator(options.schema).iter_errors(given)] == [], found.whose
    assert len(configs) >= 24
