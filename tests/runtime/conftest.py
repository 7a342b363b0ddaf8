"""What the runtime's tests share: jobs made by hand, a checkpoint that knows nothing, and what unlearning's metrics found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from runtime.job import Input, Job
from runtime.models import save_checkpoint, tiny_qwen3, train_tokenizer
from tests.runtime.forgetting import CONFIG, compared, make_models, maker, write_domains

MakeJob = Callable[[str, Mapping[str, Any], Mapping[str, Path]], Job]


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    """`make_job(id, config, inputs)`: a job whose output folder is `tmp_path/id`."""

    def make(name: str, config: Mapping[str, Any], inputs: Mapping[str, Path]) -> Job:
        out = tmp_path / name
        out.mkdir(parents=True)
        given = {key: Input(str(path), "any", path, "0" * 64) for key, path in inputs.items()}
        return Job(name, name.split("/")[0], "test", "0" * 64, None, config, given, out)

    return make


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `checkpoint.hf` of one narrow layer with random weights."""
    folder = tmp_path_factory.mktemp("untrained")
    tokenizer = train_tokenizer(["Q: What is 12+34=?\nA: 46"], 300)
    save_checkpoint(tiny_qwen3(tokenizer, layers=1, hidden=16, heads=2, seed=0), tokenizer, folder)
    return folder


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The three models of a measurement of unlearning, to be read only, as the two below."""
    return make_models(tmp_path_factory.mktemp("learned"))


@pytest.fixture(scope="session")
def domains(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The rows that it measures."""
    return write_domains(tmp_path_factory.mktemp("domains"))


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory, learned: dict[str, Path], domains: dict[str, Path]) -> Path:
    """The job on TOFU's sets; beside its folder those of the reference and of the start."""
    return compared(maker(tmp_path_factory.mktemp("measured")), learned, CONFIG, "small", domains["small"])
