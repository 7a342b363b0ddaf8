"""PDU's dual variable, the weight of the retain loss: when it changes, and how it outlives a stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from runtime.errors import JobError
from runtime.train import resume
from runtime.train.losses.pdu import next_dual
from runtime.train.unlearn.settings import Settings


@dataclass
class Dual:
    """The variable of this process. `update` is "micro_batch", "step" or "epoch"; nothing changes for `warmup` epochs."""

    value: float
    bound: float
    step_size: float
    update: str
    warmup: int
    moves: bool
    pending: list[float] = field(default_factory=list)

    def seen(self, retain: float, epochs_done: int) -> None:
        """A micro-batch's retain loss: it changes the variable at once where each one does, as published, else it waits."""
        if not self.moves or epochs_done < self.warmup:
            return
        if self.update == "micro_batch":
            self.change(retain)
        elif self.update == "step":
            self.pending.append(retain)

    def change(self, retain: float) -> None:
        """One step of the variable."""
        self.value = next_dual(self.value, retain, self.bound, self.step_size)


def dual_of(settings: Settings) -> Dual:
    """The variable at the start, which is alpha; where `primal_dual` is false it stays there."""
    return Dual(
        value=float(settings["alpha"]),
        bound=float(settings["retain_loss_eps"]),
        step_size=float(settings["dual_step_size"]),
        update=settings["dual_update"],
        warmup=settings["dual_warmup_epochs"],
        moves=settings["primal_dual"],
    )


class DualKeeper(TrainerCallback):
    """Changes the variable after updates and epochs, and keeps it beside each checkpoint, each process its own.

    `mean` gives the mean over all processes; `whole_set(epoch)` the mean retain loss over all of an epoch's pairs.
    """

    def __init__(
        self, folder: Path, dual: Dual, steps_an_epoch: int, mean: Callable[[float], float],
        whole_set: Callable[[int], float],
    ) -> None:  # fmt: skip
        self.folder = folder
        self.dual = dual
        self.steps_an_epoch = steps_an_epoch
        self.mean = mean
        self.whole_set = whole_set

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Put back the variable of the step that training goes on from. Raises JobError where it is not there."""
        if state.global_step == 0:
            return
        file = self._file(state.global_step, args.process_index)
        if not file.is_file():
            raise JobError(f"{file} is missing, the dual variable of that checkpoint; delete {self.folder} to start anew")
        self.dual.value = float(torch.load(file, weights_only=True)["value"])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Change the variable where this step's end is the time to, then write it if a checkpoint is about to be written."""
        dual = self.dual
        if dual.pending:
            dual.change(self.mean(sum(dual.pending) / len(dual.pending)))
            dual.pending.clear()
        done, rest = divmod(state.global_step, self.steps_an_epoch)
        if dual.update == "epoch" and dual.moves and rest == 0 and done >= max(1, dual.warmup):
            dual.change(self.whole_set(done - 1))
        if control.should_save:
            self.folder.mkdir(parents=True, exist_ok=True)
            part = self.folder / f".dual.{args.process_index}.part"
            torch.save({"value": dual.value}, part)
            part.replace(self._file(state.global_step, args.process_index))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Once the checkpoint is written, drop this process's variables of those that are gone."""
        resume.discard_beside(self.folder, f"dual-*.{args.process_index}.pt")

    def _file(self, step: int, process: int) -> Path:
        return self.folder / f"dual-{step}.{process}.pt"
