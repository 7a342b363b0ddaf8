"""Low-rank adapters (LoRA; Hu et al. 2021, arXiv 2106.09685) as PEFT holds them: saving one, merging one into its start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from runtime.errors import JobError
from runtime.job import write_json

CONFIG = "adapter_config.json"


def save_adapter(model: PeftModel, tokenizer: Any, folder: Path, weights: Mapping[str, torch.Tensor] | None = None) -> None:
    """Write a `checkpoint.adapter`: the adapter's weights and config, and the tokenizer; no word of where the start lay.

    `weights` are all of the model's, where it holds only a part of them itself.
    """
    more: dict[str, Any] = {} if weights is None else {"state_dict": dict(weights)}
    model.save_pretrained(str(folder), save_embedding_layers=False, **more)
    (folder / "README.md").unlink(missing_ok=True)
    written = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    write_json(folder / CONFIG, {**written, "base_model_name_or_path": None})
    tokenizer.save_pretrained(folder)


def merged(start: Path, adapter: Path) -> Any:
    """The start of a `checkpoint.hf` with the adapter added to its weights, all in float32, so that nothing is rounded.

    Raises JobError where there is no adapter, or it does not fit the start.
    """
    if not (adapter / CONFIG).is_file():
        raise JobError(f"{adapter}: holds no {CONFIG}, so it is no checkpoint.adapter; run the job that makes it")
    model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    try:
        adapted = PeftModel.from_pretrained(model, str(adapter))
    except (RuntimeError, ValueError) as error:
        raise JobError(f"the adapter of {adapter} does not fit the model of {start}: {error}") from error
    return adapted.merge_and_unload(safe_merge=True)
