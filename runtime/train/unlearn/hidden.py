"""The output of one module inside a model, for RMU: which module, and which parameters its output depends on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch

from runtime.errors import JobError
from runtime.train.unlearn.sequences import Padded

PEFT_PREFIX = "base_model.model."


def find_module(model: Any, pattern: str) -> str:
    """The name of the one module whose whole name matches, as the model has it. JobError unless there is exactly one."""
    found = [name for name, _ in model.named_modules() if _matches(pattern, name, "module_regex")]
    if len(found) == 1:
        return str(found[0])
    depth = sorted({_bare(name) for name, _ in model.named_modules() if name.rpartition(".")[2].isdigit()}, key=_place)
    matched = ", ".join(_bare(name) for name in found[:3]) or "none"
    raise JobError(
        f"module_regex: {pattern!r} must match the whole name of one module, and matches {len(found)} ({matched}); "
        f"its blocks are {', '.join(depth[:1] + depth[-1:])}"
    )


def train_only(model: Any, patterns: Sequence[str]) -> None:
    """Let those parameters alone be trained whose whole name matches. JobError for a pattern that matches none.

    Of an adapter all weights are trained, and the names are those of the weights that it stands beside.
    """
    named = dict(model.named_parameters())
    names = {name: _weight(name) for name in named if named[name].requires_grad}
    for pattern in patterns:
        if not any(_matches(pattern, weight, "trainable_regex") for weight in names.values()):
            example = next(iter(names.values()), "none at all")
            raise JobError(f"trainable_regex: {pattern!r} matches the whole name of no parameter; one is {example}")
    for name, weight in names.items():
        named[name].requires_grad_(any(_matches(pattern, weight, "trainable_regex") for pattern in patterns))


def drop_unreached(model: Any, module: str) -> None:
    """Leave out of training what comes after the module: no gradient would reach it, and several processes would wait for one.

    Raises JobError where nothing is left to train.
    """
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    ids = torch.zeros((1, 2), dtype=torch.long, device=next(iter(model.parameters())).device)
    part = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    output = outputs_of(model, model, module, part).sum()
    if not output.requires_grad:
        raise JobError(f"trainable_regex: {_bare(module)} does not depend on any of these parameters; take some before it")
    reached = torch.autograd.grad(output, list(trained.values()), allow_unused=True)
    for weight, gradient in zip(trained.values(), reached, strict=True):
        weight.requires_grad_(gradient is not None)


def outputs_of(model: Any, bare: Any, module: str, part: Padded) -> torch.Tensor:
    """What `module` of `bare` gives out in a forward pass of `model`, which may have `bare` inside itself: (B, T, d).

    Of the logits only those of the last position are made.
    """
    caught: list[torch.Tensor] = []

    def keep(_: Any, __: Any, output: Any) -> None:
        caught.append(output[0] if isinstance(output, tuple) else output)

    hook = bare.get_submodule(module).register_forward_hook(keep)
    try:
        ids, mask = part["input_ids"], part["attention_mask"]
        model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=1)
    finally:
        hook.remove()
    return caught[0]


def width_of(model: Any) -> int:
    """The width of its hidden states."""
    return int(model.config.get_text_config().hidden_size)


def _matches(pattern: str, name: str, key: str) -> bool:
    try:
        return re.fullmatch(pattern, _bare(name)) is not None
    except re.error as error:
        raise JobError(f"{key}: {pattern!r} is no regular expression ({error})") from error


def _bare(name: str) -> str:
    """The name that the module has without an adapter around it."""
    return name.removeprefix(PEFT_PREFIX).replace(".base_layer", "")


def _weight(name: str) -> str:
    """The weight that a parameter is, or that it is an adapter of."""
    before, adapts, _ = _bare(name).partition(".lora_")
    return f"{before}.weight" if adapts else before


def _place(name: str) -> tuple[str, int]:
    """A block's list and its number in it."""
    before, _, number = name.rpartition(".")
    return before, int(number)
