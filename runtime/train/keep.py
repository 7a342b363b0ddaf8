"""Keeps the model after certain steps, bare and for good, beside the checkpoints that a training goes on from."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from runtime.errors import JobError
from runtime.store.steps import folder_of
from runtime.train.whole import Weights, is_divided, whole_weights


class Keeper(TrainerCallback):
    """After each of `steps`, has `save(model, folder, weights)` write the model into the step's folder below `out`.

    `weights` are all of the model's where the processes divide them, else None.
    """

    def __init__(self, out: Path, steps: Sequence[int], save: Callable[[Any, Path, Weights | None], None]) -> None:
        self.out = out
        self.steps = frozenset(steps)
        self.save = save

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Raise JobError for a step that the training will not reach."""
        past = [step for step in sorted(self.steps) if step > state.max_steps]
        if past:
            raise JobError(f"execution.keep: step {past[0]} is past the last step, {state.max_steps}; compile the study again")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Keep `given["model"]` if this step is to be kept. An earlier attempt's checkpoint of it is replaced."""
        if state.global_step not in self.steps:
            return
        weights = whole_weights(given["model"]) if is_divided(given["model"]) else None  # all processes put it together
        if state.is_world_process_zero:
            folder = folder_of(self.out, state.global_step)
            part = folder.with_name(f".{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            self.save(given["model"], part, weights)
            shutil.rmtree(folder, ignore_errors=True)
            part.replace(folder)
