"""Checkpoints to go on from: only whole ones, so that a job killed while it saves loses a few steps at most."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

SEAL = "WHOLE"


class Seal(TrainerCallback):
    """Marks a checkpoint as whole once every process has written its part of it."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Wait for all processes, then write the seal."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            (Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / SEAL).touch()


def found(scratch: Path) -> tuple[list[Path], list[Path]]:
    """The whole checkpoints in `scratch`, by step, and the torn ones."""
    every = sorted(scratch.glob("checkpoint-[0-9]*"), key=step_of)
    return [folder for folder in every if (folder / SEAL).exists()], [
        folder for folder in every if not (folder / SEAL).exists()
    ]


def step_of(checkpoint: Path) -> int:
    """How many steps had been made."""
    return int(checkpoint.name.rpartition("-")[2])


def discard(torn: Iterable[Path]) -> None:
    """Remove what a save left that did not come to its end."""
    for folder in torn:
        print(f"{folder.name} was not written to its end: removed", flush=True)
        shutil.rmtree(folder)


def discard_beside(scratch: Path, pattern: str) -> None:
    """Remove the files in `scratch`, named as in `teacher-3.pt`, whose checkpoint is not there any more."""
    for file in scratch.glob(pattern):
        step = file.name.split(".")[0].rpartition("-")[2]
        if not (scratch / f"checkpoint-{step}").is_dir():
            file.unlink()


@cache
def read_numbered_cpus() -> None:
    """Let torch read checkpoints for `cpu:0`, as transformers asks of it where several processes train on CPUs."""
    torch.serialization.register_package(
        1, lambda storage: None, lambda storage, place: storage if place.startswith("cpu:") else None
    )
