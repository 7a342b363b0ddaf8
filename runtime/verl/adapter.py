"""What VeRL's merger leaves of a run that trained an adapter: the start's weights, and the adapter beside them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "lora_adapter"


def merge(folder: Path) -> Mapping[str, Any]:
    """Add the adapter in `folder`, if there is one, to the weights in `folder`, and remove it.

    The sum is made in float32 and stored in bfloat16, as the merger stores all weights. The fact: whether there was one.
    """
    adapter = folder / FOLDER
    if not adapter.is_dir():
        return {"adapter": False}
    import torch

    from runtime.models.adapters import merged

    part = folder / ".merged.part"
    merged(folder, adapter).to(torch.bfloat16).save_pretrained(part)
    for file in [*folder.glob("*.safetensors"), *folder.glob("*.safetensors.index.json")]:
        file.unlink()
    for file in part.iterdir():
        file.replace(folder / file.name)
    part.rmdir()
    shutil.rmtree(adapter)
    return {"adapter": True}
