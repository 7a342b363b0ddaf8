"""The whole weights of a model of which every process may hold a part only (FSDP2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.tensor import DTensor

Weights = Mapping[str, torch.Tensor]


def is_divided(model: Any) -> bool:
    """Whether this process holds only its part of some weight."""
    return any(isinstance(weight, DTensor) for weight in model.parameters())


def whole_weights(model: Any) -> Weights:
    """All weights, in the host's memory; on the first process alone where they are divided. Every process must call it."""
    found: Any = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    return dict(found)


def put_back(model: Any, weights: Weights) -> None:
    """Set all weights, of which every process has a copy and takes its part. Every process must call it."""
    set_model_state_dict(model, dict(weights), options=StateDictOptions(full_state_dict=True))


def broken_weight(model: Any) -> str | None:
    """The name of a weight of which this process holds a value that is no finite number."""
    for name, weight in model.named_parameters():
        held = weight.to_local() if isinstance(weight, DTensor) else weight
        if not torch.isfinite(held).all():
            return str(name)
    return None
