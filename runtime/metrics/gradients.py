"""How far a model would still move for a text: the norm of its gradient as a score of membership (arXiv 2402.17012)."""

from __future__ import annotations

import math
from typing import Any

import torch

from runtime.metrics.encode import Scored


def gradient_norm(model: Any, scored: Scored, counted: int, order: float) -> float:
    """The mean over parameter tensors of the `order`-norm of the gradient of the mean NLL of the first `counted` labels.

    NaN of no label. Higher: less like a member. The model stays as it was; open-unlearning also switches dropout on.
    """
    if not counted:
        return math.nan
    ids = torch.tensor([scored.ids], device=model.device)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    with torch.enable_grad():
        logits = model(ids, use_cache=False).logits[0, scored.start - 1 : scored.start - 1 + counted]
        loss = torch.nn.functional.cross_entropy(logits.float(), ids[0, scored.start : scored.start + counted])
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    norms = [torch.linalg.vector_norm(found.float(), ord=order) for found in gradients if found is not None]
    return float(torch.stack(norms).double().mean())
