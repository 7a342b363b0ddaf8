"""Low-rank adapters: only they are trained, they carry no path, and merged they are the adapted model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from runtime.data.rows import read_rows, write_rows
from runtime.errors import JobError
from runtime.job import Input, Job
from runtime.jobs import merge, train
from runtime.lifecycle.bracket import missing_files
from runtime.models import load_model, load_tokenizer, save_checkpoint, tiny_qwen3, train_tokenizer
from runtime.train import dpo
from runtime.train.recipe import parse_recipe
from runtime.train.setup import Setup
from runtime.train.watch import Watch
from runtime.verl import adapter as verl_adapter

Values = dict[str, Any]
CPU = torch.device("cpu")
WORDS = ("north", "south", "east", "west")
ROWS = [
    {"id": f"{word}{n}", "prompt": f"say {word} {n}", "completion": f"{word} {n}", "chosen": f"{word} {n}",
     "rejected": "none", "answer": word, "solution": word}
    for word in WORDS for n in range(4)
]  # fmt: skip
LORA = {"type": "lora", "rank": 4, "alpha": 8, "dropout": 0.0, "targets": "all-linear"}
ARGS = {"learning_rate": 1e-2, "lr_scheduler_type": "constant", "max_steps": 4, "bf16": False, "fp16": False}
CONFIG = {"backend": "trl", "seed": 0, "batch_size": 8, "model_dtype": "float32", "longest": 64, "overlong": "error",
          "adapter": LORA}  # fmt: skip
CONFIGS: dict[str, Values] = {
    "sft": {**CONFIG, "algorithm": "sft", "args": {**ARGS, "completion_only_loss": True, "loss_type": "nll"}},
    "dpo": {**CONFIG, "algorithm": "dpo", "args": {**ARGS, "beta": 0.1, "disable_dropout": True}},
    "grpo": {**CONFIG, "algorithm": "grpo", "grader": "qa",
             "args": {**ARGS, "num_generations": 4, "max_completion_length": 4, "beta": 0.1}},
}  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of two narrow layers, as a checkpoint.hf."""
    folder = tmp_path_factory.mktemp("start")
    tokenizer = train_tokenizer([row["prompt"] for row in ROWS], 300)
    save_checkpoint(tiny_qwen3(tokenizer, layers=2, hidden=32, heads=2, seed=0), tokenizer, folder)
    return folder


@pytest.fixture
def make(start: Path, tmp_path: Path) -> Callable[..., Job]:
    """Make a train job of an algorithm, with some of its config changed; `out` is a new folder of that name."""

    def job(algorithm: str, out: str = "out", **change: Any) -> Job:
        data = tmp_path / f"data-{out}"
        data.mkdir()
        (tmp_path / out).mkdir()
        write_rows(data / "data.jsonl", ROWS)
        inputs = {"start": Input("fetch/base", "checkpoint.hf", start, "0"), "data": Input("build/d", "any", data, "0")}
        return Job("train/toy", "train", "t", "f" * 64, None, {**CONFIGS[algorithm], **change}, inputs, tmp_path / out)

    return job


def logits(model: Any, folder: Path) -> torch.Tensor:
    tokens = load_tokenizer(folder)(ROWS[0]["prompt"], return_tensors="pt")
    with torch.no_grad():
        found: torch.Tensor = model(**tokens).logits
    return found


def merging(folder: Path, start: Path, adapter: Path, step: int | None = None) -> Job:
    out = folder / f"merged-{step}"
    out.mkdir()
    inputs = {"start": Input("fetch/base", "checkpoint.hf", start, "0"), "adapter": Input("train/toy", "any", adapter, "0")}
    return Job("merge/toy", "merge", "t", "f" * 64, None, {"step": step}, inputs, out)


# ---- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["sft", "dpo", "grpo"])
def test_every_algorithm_trains_an_adapter_and_nothing_else(algorithm: str, make: Callable[..., Job], start: Path) -> None:
    job = make(algorithm)
    train.run(job)
    assert missing_files("checkpoint.adapter", job.out) == [] and missing_files("checkpoint.hf", job.out)
    base = load_model(start, CPU)
    before = logits(base, start)
    adapted = PeftModel.from_pretrained(base, str(job.out)).eval()
    changes = algorithm != "grpo"  # an untrained model earns nothing, so that its policy does not move
    assert torch.equal(logits(adapted, start), before) != changes
    with adapted.disable_adapter():
        assert torch.equal(logits(adapted, start), before)


def test_an_adapter_is_of_the_wanted_shape_and_names_no_path(make: Callable[..., Job], tmp_path: Path) -> None:
    job = make("sft", adapter={**LORA, "rank": 2, "alpha": 6, "dropout": 0.1, "targets": ["q_proj", "v_proj"]})
    train.run(job)
    written = json.loads((job.out / "adapter_config.json").read_text())
    assert (written["r"], written["lora_alpha"], written["lora_dropout"]) == (2, 6, 0.1)
    assert sorted(written["target_modules"]) == ["q_proj", "v_proj"]
    texts = [file for file in job.out.rglob("*") if file.suffix in (".json", ".md") and "PROGRESS" not in file.name]
    assert all(str(tmp_path.parent) not in file.read_text() for file in texts)
    assert not (job.out / "README.md").exists() and not (job.out / "checkpoints").exists()


def test_targets_that_the_model_does_not_have_are_named_with_those_it_has(make: Callable[..., Job]) -> None:
    with pytest.raises(JobError, match=r"the model has no 'query'; its linear modules are down_proj, .*q_proj"):
        train.run(make("sft", adapter={**LORA, "targets": ["q_proj", "query"]}))


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        ({**LORA, "type": "ia3"}, "there is no 'ia3'; this runtime has lora"),
        ({**LORA, "rang": 2}, "adapter: there is no 'rang'; did you mean 'rank'"),
        ({"type": "lora"}, "adapter lacks alpha, dropout, rank, targets"),
    ],
)
def test_a_mistake_in_the_adapter_is_one_message(adapter: Values, message: str, make: Callable[..., Job]) -> None:
    with pytest.raises(JobError, match=message):
        train.run(make("sft", adapter=adapter))


# ---- merging ----------------------------------------------------------------------------------------------------------


def test_a_merged_model_gives_the_adapted_models_logits(make: Callable[..., Job], start: Path, tmp_path: Path) -> None:
    job = make("sft")
    train.run(job)
    merged = merging(tmp_path, start, job.out)
    assert merge.run(merged)["step"] is None
    adapted = PeftModel.from_pretrained(load_model(start, CPU), str(job.out)).eval()
    found = logits(load_model(merged.out, CPU), merged.out)
    assert torch.allclose(found, logits(adapted, start), atol=1e-5)
    assert not torch.allclose(found, logits(load_model(start, CPU), start), atol=1e-2)
    assert (merged.out / "tokenizer.json").read_bytes() == (start / "tokenizer.json").read_bytes()


def test_an_intermediate_adapter_is_kept_and_can_be_merged(make: Callable[..., Job], start: Path, tmp_path: Path) -> None:
    job = make("sft", execution={"keep": [2]})
    assert train.run(job)["kept"] == [2]
    stopped = make("sft", out="stopped", args={**CONFIGS["sft"]["args"], "max_steps": 2})
    train.run(stopped)
    kept, last = merging(tmp_path, start, job.out, 2), merging(tmp_path, start, stopped.out)
    assert merge.run(kept)["step"] == 2
    merge.run(last)
    assert torch.equal(logits(load_model(kept.out, CPU), start), logits(load_model(last.out, CPU), start))
    with pytest.raises(JobError, match=r"train/toy kept no checkpoint of step 3 .*\(it kept: 2\)"):
        merge.run(merging(tmp_path, start, job.out, 3))


def test_what_is_no_adapter_or_fits_another_model_is_refused(make: Callable[..., Job], start: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"holds no adapter_config\.json, so it is no checkpoint\.adapter"):
        merge.run(merging(tmp_path, start, start))
    job = make("sft")
    train.run(job)
    tokenizer, wide = load_tokenizer(start), tmp_path / "wide"
    save_checkpoint(tiny_qwen3(tokenizer, layers=2, hidden=48, heads=2, seed=0), tokenizer, wide)
    with pytest.raises(JobError, match="does not fit the model of"):
        merge.run(merging(tmp_path / "data-out", wide, job.out))


@pytest.mark.parametrize("adapted", [True, False])
def test_what_verls_merger_leaves_becomes_one_model(
    make: Callable[..., Job], start: Path, tmp_path: Path, adapted: bool
) -> None:
    """VeRL's merger writes the start's weights in bfloat16, and the adapter beside them in a folder of its own."""
    folder = tmp_path / "converted"
    save_checkpoint(load_model(start, CPU).to(torch.bfloat16), load_tokenizer(start), folder)
    if adapted:
        job = make("sft")
        train.run(job)
        (folder / "lora_adapter").mkdir()
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            (folder / "lora_adapter" / name).write_bytes((job.out / name).read_bytes())
    wanted = load_model(folder, CPU)
    if adapted:
        wanted = PeftModel.from_pretrained(wanted, str(folder / "lora_adapter")).eval()
    assert verl_adapter.merge(folder) == {"adapter": adapted}
    assert torch.allclose(logits(load_model(folder, CPU), start), logits(wanted, start), atol=5e-2)
    assert not (folder / "lora_adapter").exists() and missing_files("checkpoint.hf", folder) == []
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"


# ---- the reference of preference optimisation ------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", [LORA, None], ids=["adapter", "all weights"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_reference_is_the_stages_own_start(
    adapter: Values | None, dtype: str, make: Callable[..., Job], start: Path
) -> None:
    """So at the first step policy and reference agree: the loss is log 2, every margin 0 (arXiv 2401.01335, equation 4.7)."""
    config = {"model_dtype": dtype, "execution": {"logging_steps": 1}, "adapter": adapter}
    if dtype == "bfloat16":
        config["args"] = {**CONFIGS["dpo"]["args"], "bf16": True}
    job = make("dpo", **config)
    train.run(job)
    log = [entry for entry in read_rows(job.out / "train_log.jsonl") if "loss" in entry]
    assert log[0]["loss"] == pytest.approx(0.693147, abs=1e-4) and log[0]["rewards/margins"] == 0
    assert log[-1]["rewards/margins"] > 0.1


def test_training_leaves_the_reference_as_it_was(make: Callable[..., Job], start: Path) -> None:
    job = make("dpo", adapter=None)
    model = load_model(start, CPU)
    setup = Setup(parse_recipe(job.config), model, load_tokenizer(start), ROWS, job.out / "checkpoints", Watch(job))
    trainer: Any = dpo.trainer(setup)
    trainer.train()
    before = load_model(start, CPU).state_dict()
    after = trainer.accelerator.unwrap_model(trainer.ref_model).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not all(torch.equal(before[name], weight) for name, weight in trainer.model.state_dict().items())
