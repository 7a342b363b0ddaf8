"""A teacher that is the student's moving average, kept beside each checkpoint: TRL makes it anew from the start otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from runtime.errors import JobError
from runtime.train import resume
from runtime.train.whole import put_back, whole_weights


class AverageKeeper(TrainerCallback):
    """Writes `teacher` into `folder` before a checkpoint of its step is written, and puts it back when that is gone on from.

    Added after the callback that updates the teacher, so that it sees what the step made of it.
    """

    def __init__(self, folder: Path, teacher: Any) -> None:
        self.folder = folder
        self.teacher = teacher

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Put back the teacher of the step that training goes on from. Raises JobError where it is not there."""
        if state.global_step == 0:
            return
        file = self._file(state.global_step)
        if not file.is_file():
            raise JobError(f"{file} is missing, the teacher of the checkpoint beside it; delete {self.folder} to start anew")
        put_back(self.teacher, torch.load(file, map_location="cpu", weights_only=True))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Write the teacher if a checkpoint of this step is about to be written."""
        if not control.should_save:
            return
        weights = whole_weights(self.teacher)
        if state.is_world_process_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            part = self.folder / ".teacher.part"
            torch.save(weights, part)
            part.replace(self._file(state.global_step))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Once the checkpoint is written, drop the teachers of those that are gone."""
        if state.is_world_process_zero:
            resume.discard_beside(self.folder, "teacher-*.pt")

    def _file(self, step: int) -> Path:
        return self.folder / f"teacher-{step}.pt"
