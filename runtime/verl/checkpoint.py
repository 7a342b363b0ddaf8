"""What VeRL leaves (`global_step_N/`, `latest_checkpointed_iteration.txt`), checked and made ready for its merger.

A run that a time limit ended has checkpoints too. So the number of updates that the config and the data ask for is counted
here, and a checkpoint of fewer is no result. Whatever checkpoints VeRL has kept get the names of all intermediate ones,
`steps/N`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from runtime.errors import EndedEarly, JobError
from runtime.job import Job
from runtime.prompts import PROBE, prompt_hash
from runtime.store import steps

LATEST = "latest_checkpointed_iteration.txt"
FINAL = "final"
TOKENIZER = ("tokenizer*", "chat_template*", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt")


def close(job: Job) -> Mapping[str, Any]:
    """Check the last checkpoint in `job.out`; link `final` to its model, and `steps/N` to every model that is there.

    The facts are the updates, the rows trained on, the steps kept, and the hashes of the prompts and of their form. The
    checkpoints' tokenizers become the start's own again, since VeRL saves them with the chat template of its config.
    Raises EndedEarly when the run stopped before its last update, JobError when there is no checkpoint.
    """
    start = job.inputs["start"].path
    prompts = prompts_trained_on(job.config, job.inputs["data"].path / "train.parquet", start)
    planned, reached = planned_updates(job.config, len(prompts)), _reached(job.out)
    if reached < planned:
        message = f"{job.id} ended at update {reached} of {planned}; run it again, and it goes on from there"
        raise EndedEarly(message, reached, planned)
    _link(job.out / FINAL, model_of(job.out, reached))
    kept = [step for step in _checkpoints(job.out) if _has_shards(job.out, step)]
    shutil.rmtree(job.out / steps.FOLDER, ignore_errors=True)
    (job.out / steps.FOLDER).mkdir()
    for step in kept:
        restore_tokenizer(start, model_of(job.out, step) / "huggingface")
        _link(steps.folder_of(job.out, step), model_of(job.out, step))
    asked = {"prompt_hash": prompt_hash(prompts), "prompt_form": form_of_prompts(job.config, start)}
    return {"updates": reached, "rows": len(prompts), "kept": kept, **asked}


def start_over_if_past(job: str, out: Path, needed: Iterable[int]) -> None:
    """Remove what an earlier run left in `out` if it is past a step in `needed` without a checkpoint of it.

    VeRL would go on from the last checkpoint, and never come by that step again.
    """
    if not (out / LATEST).is_file():
        return
    lost = [step for step in needed if step <= _reached(out) and not _has_shards(out, step)]
    if not lost:
        return
    print(f"{job} has passed step {lost[0]} without keeping its checkpoint: it is trained from its start again", flush=True)
    (out / LATEST).unlink()
    for step in _checkpoints(out):
        shutil.rmtree(out / f"global_step_{step}")


def saved_at(out: Path) -> datetime | None:
    """When the checkpoint that VeRL would go on from was saved; None where there is none."""
    file = out / LATEST
    return datetime.fromtimestamp(file.stat().st_mtime) if file.is_file() else None


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

    if not _leaves_out_long(config):
        return int(pyarrow.parquet.read_metadata(data).num_rows)
    return len(prompts_trained_on(config, data, start))


def prompts_trained_on(config: Mapping[str, Any], data: Path, start: Path) -> list[str]:
    """Those rows' prompts as VeRL renders them: by the config's template, whatever the start's tokenizer has."""
    import pyarrow.parquet

    from runtime.models import load_tokenizer

    tokenizer, template = load_tokenizer(start), _model(config)["custom_chat_template"]
    supervised = "messages_key" in config["data"]
    name = config["data"]["messages_key" if supervised else "prompt_key"]
    column = pyarrow.parquet.read_table(data, columns=[name]).column(name).to_pylist()
    prompts = [_rendered(tokenizer, messages[:-1] if supervised else messages, template) for messages in column]
    if not _leaves_out_long(config):
        return prompts
    most = config["data"]["max_prompt_length"]
    return [prompt for prompt in prompts if len(tokenizer(prompt, add_special_tokens=False)["input_ids"]) <= most]


def form_of_prompts(config: Mapping[str, Any], start: Path) -> str:
    """How VeRL asks the model, as `runtime.prompts.prompt_form` tells it of a tokenizer."""
    from runtime.models import load_tokenizer

    messages = [{"role": "user", "content": PROBE}]
    return prompt_hash([_rendered(load_tokenizer(start), messages, _model(config)["custom_chat_template"])])


def model_of(out: Path, step: int) -> Path:
    """The folder of a checkpoint's model shards: with online RL, the actor's. Raises JobError where there are none."""
    model = _model_folder(out, step)
    if not _has_shards(out, step):
        raise JobError(f"{model}: holds no model shards, although {LATEST} names it; run the job again")
    return model


def restore_tokenizer(start: Path, saved: Path) -> None:
    """Replace the tokenizer's files in `saved` by those of `start`."""
    for pattern in TOKENIZER:
        for file in saved.glob(pattern):
            file.unlink()
        for file in start.glob(pattern):
            shutil.copyfile(file, saved / file.name)


def _model_folder(out: Path, step: int) -> Path:
    folder = out / f"global_step_{step}"
    return folder / "actor" if (folder / "actor").is_dir() else folder


def _has_shards(out: Path, step: int) -> bool:
    return any(_model_folder(out, step).glob("model_world_size_*.pt"))


def _checkpoints(out: Path) -> list[int]:
    return sorted(int(folder.name.rpartition("_")[2]) for folder in out.glob("global_step_[0-9]*"))


def _link(link: Path, target: Path) -> None:
    """Let `link` lead to `target`, by a way that stays right when both are moved together."""
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(target, link.parent))


def _reached(out: Path) -> int:
    file = out / LATEST
    if not file.is_file():
        raise JobError(f"{out}: VeRL left no {LATEST}, so it saved no checkpoint; see its messages above")
    return int(file.read_text(encoding="utf-8").strip())


def _leaves_out_long(config: Mapping[str, Any]) -> bool:
    return bool(config["data"].get("filter_overlong_prompts", False))


def _model(config: Mapping[str, Any]) -> Mapping[str, Any]:
    model: Mapping[str, Any] = config["actor_rollout_ref"]["model"] if "actor_rollout_ref" in config else config["model"]
    return model


def _rendered(tokenizer: Any, messages: Any, template: str) -> str:
    return str(tokenizer.apply_chat_template(messages, chat_template=template, add_generation_prompt=True, tokenize=False))
