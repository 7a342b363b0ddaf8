"""The order of the rows in later epochs, when a training goes on in one of them."""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.utils import RepeatSampler


class Order(TrainerCallback):
    """Draws the orders of the epochs that are over: TRL's sampler of prompts has a generator that no checkpoint holds.

    Without this, the epoch that a stopped training goes on in would have the order of the first.
    """

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Bring the sampler to where the checkpoint was written."""
        loader = given["train_dataloader"]
        batches = loader.batch_sampler
        while hasattr(batches, "batch_sampler"):  # with several processes, each one's part of the batches is around them
            batches = batches.batch_sampler
        sampler = batches.sampler
        if not isinstance(sampler, RepeatSampler) or not sampler.shuffle:
            return
        updates = max(1, len(loader) // args.gradient_accumulation_steps)
        for _ in range(state.global_step // updates):
            torch.randperm(sampler.num_samples, generator=sampler.generator)
