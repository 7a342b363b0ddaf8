"""Which weights are trained: all of them, or a low-rank adapter beside some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peft import LoraConfig

from runtime.errors import JobError

ALL_LINEAR = "all-linear"


@dataclass(frozen=True)
class Adapter:
    """LoRA's rank, its scale alpha / rank, dropout on its input, and the modules it stands beside: names, or "all-linear"."""

    type: str
    rank: int
    alpha: int
    dropout: float
    targets: Sequence[str] | str


def peft_config(adapter: Adapter | None, model: Any) -> LoraConfig | None:
    """What TRL's trainers take to make the adapter; None trains all weights.

    Raises JobError for a type that there is not, and for targets that the model does not have.
    """
    if adapter is None:
        return None
    if adapter.type != "lora":
        raise JobError(f"adapter: there is no {adapter.type!r}; this runtime has lora")
    if adapter.targets != ALL_LINEAR:
        _require_modules(adapter.targets, model)
    return LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=adapter.targets if isinstance(adapter.targets, str) else list(adapter.targets),
        bias="none",
        task_type="CAUSAL_LM",
    )


def _require_modules(targets: Sequence[str], model: Any) -> None:
    """PEFT itself only minds when none of them is there."""
    last = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    absent = [target for target in targets if target.rpartition(".")[2] not in last]
    if absent:
        there_are = ", ".join(sorted({name.rpartition(".")[2] for name, part in model.named_modules() if _is_linear(part)}))
        raise JobError(f"adapter.targets: the model has no {absent[0]!r}; its linear modules are {there_are}")


def _is_linear(module: Any) -> bool:
    return type(module).__name__ == "Linear"
