"""What the start says, which some objectives hold a model against: asked at each step, or once before the first.

With an adapter the start is the model with the adapter off, else a frozen copy. Where sums over sequences are all that is asked
of it, they are computed once, for every sequence that the training will see, and no second model is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel

from runtime.prompts import Tokens
from runtime.train.losses.sequences import sequence_sums
from runtime.train.unlearn.sequences import Padded, in_batches


@dataclass(frozen=True)
class Start:
    """The model that a training began from: another one, or the trained one whose adapter is put aside.

    `precision` is that in which the trained model computes.
    """

    model: Any
    adapter_off: bool
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext

    @contextmanager
    def held(self) -> Iterator[Any]:
        """The start, in evaluation mode and without gradients; the model is as before afterwards."""
        with torch.no_grad(), self.precision():
            if not self.adapter_off:
                yield self.model
                return
            training = self.model.training
            with self.model.disable_adapter():
                self.model.eval()
                try:
                    yield self.model
                finally:
                    self.model.train(training)


def start_of(model: Any) -> Start:
    """The start of a model that is about to be trained; a copy where all its weights will change."""
    if isinstance(model, PeftModel):
        return Start(model, adapter_off=True)
    return Start(deepcopy(model).eval().requires_grad_(False), adapter_off=False)


def logits_of(model: Any, part: Padded) -> torch.Tensor:
    """One forward pass, (B, T, V)."""
    found: torch.Tensor = model(input_ids=part["input_ids"], attention_mask=part["attention_mask"], use_cache=False).logits
    return found


@torch.no_grad()
def known_sums(
    model: Any, sequences: Iterable[Tokens], size: int, pad: int, prepare: Callable[[Padded], Padded]
) -> dict[Tokens, float]:
    """The sums of -log p of sequences by a model that has not been trained yet; of equal ones once.

    They are taken in order of length, so that little is padded.
    """
    different = sorted(set(sequences), key=lambda one: (len(one.ids), one.ids))
    training = model.training
    model.eval()
    found: list[float] = []
    for batch in in_batches(different, size, pad):
        part = prepare(batch)
        found += sequence_sums(logits_of(model, part), part["labels"]).tolist()
    model.train(training)
    return dict(zip(different, found, strict=True))
