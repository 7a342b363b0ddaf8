"""The record that a training by plain SGD leaves beside its checkpoint: what LMCleaner corrects the weights with.

record/rows.jsonl           the rows that were trained on, as the dataset had them
record/updates/N.safetensors  u_N = theta_{N+1} - theta_N of step N (from 0), in float32, by the parameters' names; its header
                            has the learning rate that this very update was made with, and its rows as numbers of `rows.jsonl`
record/record.json          {"steps", "rows"}: how many there are of both; written last
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from runtime.data.rows import Row, read_rows, write_rows
from runtime.errors import JobError
from runtime.job import write_json

FOLDER, ROWS, UPDATES, ABOUT = "record", "rows.jsonl", "updates", "record.json"
Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Update:
    """One step of the training: its number, the learning rate it was made with, and its rows' numbers."""

    step: int
    lr: float
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Record:
    """A whole record. `rows` are all that was trained on, `updates` the steps in their order."""

    folder: Path
    rows: Sequence[Row]
    updates: Sequence[Update]

    def change(self, step: int) -> Weights:
        """u of a step, by the parameters' names."""
        return load_file(_file(self.folder, step))


def read_record(checkpoint: Path) -> Record:
    """The record beside a checkpoint. Raises JobError where there is none, or a part of it is missing."""
    folder = checkpoint / FOLDER
    if not (folder / ABOUT).is_file():
        raise JobError(
            f"{folder / ABOUT}: no such file, so that checkpoint has no record of its training; let lmcleaner begin from what "
            "recorded_sgd made"
        )
    steps = int(json.loads((folder / ABOUT).read_text(encoding="utf-8"))["steps"])
    return Record(folder, read_rows(folder / ROWS), [_read_update(folder, step) for step in range(steps)])


class Recorder(TrainerCallback):
    """Writes the record of a training on `rows`; `batch(step)` tells the numbers of the rows that a step sees."""

    def __init__(self, out: Path, rows: Sequence[Row], batch: Callable[[int], Sequence[int]]) -> None:
        self.folder = out / FOLDER
        self.rows = rows
        self.batch = batch
        self.before: dict[str, torch.Tensor] = {}
        self.lr = 0.0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Make room, and write the rows."""
        (self.folder / UPDATES).mkdir(parents=True, exist_ok=True)
        write_rows(self.folder / ROWS, self.rows)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Hold the weights, and the learning rate while it is still this step's own."""
        self.before = {name: weight.detach().clone() for name, weight in given["model"].named_parameters()}
        self.lr = float(given["optimizer"].param_groups[0]["lr"])

    def on_optimizer_step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Write what the update changed. `state.global_step` is still the number of the steps before it."""
        named = given["model"].named_parameters()
        change = {name: (weight.detach() - self.before[name]).cpu() for name, weight in named}
        self.before = {}
        file = _file(self.folder, state.global_step)
        part = file.with_name(f".{file.name}.part")
        said = {"lr": self.lr, "rows": list(self.batch(state.global_step))}
        save_file(change, part, {"update": json.dumps(said)})  # one key: several would stand in any order
        part.replace(file)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close the record, once every step has been made. Raises JobError where a step's update is missing."""
        if state.global_step == state.max_steps:
            for step in range(state.max_steps):
                _read_update(self.folder, step)
            write_json(self.folder / ABOUT, {"steps": state.max_steps, "rows": len(self.rows)})


def _read_update(folder: Path, step: int) -> Update:
    file = _file(folder, step)
    if not file.is_file():
        raise JobError(f"{file} is missing, the update of step {step}; delete {folder.parent} and train again")
    with safe_open(file, framework="pt") as held:
        said = json.loads(held.metadata()["update"])
    return Update(step, said["lr"], tuple(said["rows"]))


def _file(folder: Path, step: int) -> Path:
    return folder / UPDATES / f"{step}.safetensors"
