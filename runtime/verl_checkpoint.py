"""What VeRL leaves (`global_step_N/`, `latest_checkpointed_iteration.txt`), checked and made ready for its merger.

A run that a time limit ended has checkpoints too. So the number of updates that the config and the data ask for is counted
here, and a checkpoint of fewer is no result.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.errors import EndedEarly, JobError
from runtime.job import Job

LATEST = "latest_checkpointed_iteration.txt"
FINAL = "final"
TOKENIZER = ("tokenizer*", "chat_template*", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt")


def close(job: Job) -> Mapping[str, Any]:
    """Check the last checkpoint in `job.out` and link `final` to its model; the facts are the updates and the rows trained on.

    The checkpoint's tokenizer becomes the start's own again, since VeRL saves it with the chat template of its config.
    Raises EndedEarly when the run stopped before its last update, JobError when there is no checkpoint.
    """
    rows = rows_trained_on(job.config, job.inputs["data"].path / "train.parquet", job.inputs["start"].path)
    planned, reached = planned_updates(job.config, rows), _reached(job.out)
    if reached < planned:
        raise EndedEarly(f"{job.id} ended at update {reached} of {planned}; run it again, and it goes on from there")
    model = final_model(job.out, reached)
    restore_tokenizer(job.inputs["start"].path, model / "huggingface")
    link = job.out / FINAL
    link.unlink(missing_ok=True)
    link.symlink_to(model.relative_to(job.out))
    return {"updates": reached, "rows": rows}


def planned_updates(config: Mapping[str, Any], rows: int) -> int:
    """How many steps VeRL makes: those the config names, or its epochs of whole batches."""
    trainer, batch = config["trainer"], config["data"]["train_batch_size"]
    if trainer["total_training_steps"] is not None:
        return int(trainer["total_training_steps"])
    if rows < batch:
        raise JobError(f"{rows} rows do not fill one batch of {batch}; make batch_size smaller or the data larger")
    return int(trainer["total_epochs"]) * (rows // int(batch))


def rows_trained_on(config: Mapping[str, Any], data: Path, start: Path) -> int:
    """The rows of the parquet, without the prompts that VeRL leaves out for their length."""
    import pyarrow.parquet

    if not config["data"].get("filter_overlong_prompts", False):
        return int(pyarrow.parquet.read_metadata(data).num_rows)
    from runtime.models import load_tokenizer

    tokenizer = load_tokenizer(start)
    template = config["actor_rollout_ref"]["model"]["custom_chat_template"]
    prompts = pyarrow.parquet.read_table(data, columns=["prompt"]).column("prompt").to_pylist()
    return sum(_tokens(tokenizer, prompt, template) <= config["data"]["max_prompt_length"] for prompt in prompts)


def final_model(out: Path, step: int) -> Path:
    """The folder of the last checkpoint's model shards: with online RL, the actor's."""
    folder = out / f"global_step_{step}"
    model = folder / "actor" if (folder / "actor").is_dir() else folder
    if not any(model.glob("model_world_size_*.pt")):
        raise JobError(f"{model}: holds no model shards, although {LATEST} names it; run the job again")
    return model


def restore_tokenizer(start: Path, saved: Path) -> None:
    """Replace the tokenizer's files in `saved` by those of `start`."""
    for pattern in TOKENIZER:
        for file in saved.glob(pattern):
            file.unlink()
        for file in start.glob(pattern):
            shutil.copyfile(file, saved / file.name)


def _reached(out: Path) -> int:
    file = out / LATEST
    if not file.is_file():
        raise JobError(f"{out}: VeRL left no {LATEST}, so it saved no checkpoint; see its messages above")
    return int(file.read_text(encoding="utf-8").strip())


def _tokens(tokenizer: Any, messages: Any, template: str) -> int:
    rendered = tokenizer.apply_chat_template(messages, chat_template=template, add_generation_prompt=True, tokenize=False)
    return len(tokenizer(rendered, add_special_tokens=False)["input_ids"])
