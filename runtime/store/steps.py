"""Intermediate checkpoints: a training keeps that after N steps, bare, as `steps/N/` in its own folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from runtime.errors import JobError
from runtime.job import Input

FOLDER = "steps"


def folder_of(out: Path, step: int) -> Path:
    """Where the training whose folder is `out` keeps its checkpoint after `step` steps."""
    return out / FOLDER / str(step)


def kept_in(out: Path) -> list[int]:
    """The steps whose checkpoints are there, in order."""
    return sorted(int(found.name) for found in (out / FOLDER).glob("[0-9]*") if found.is_dir())


def missing_in(out: Path, steps: Iterable[int]) -> list[int]:
    """Those of `steps` whose checkpoints are not there."""
    return [step for step in steps if not folder_of(out, step).is_dir()]


def step_folder(training: Input, step: int) -> Path:
    """The checkpoint that `training` kept after `step` steps; raises JobError that says which ones it has."""
    folder = folder_of(training.path, step)
    if not folder.is_dir():
        there_are = ", ".join(map(str, kept_in(training.path))) or "none"
        raise JobError(
            f"{training.job} kept no checkpoint of step {step} in {training.path} (it kept: {there_are}); "
            f"run submit_all.sh of a study that needs it, and it is trained again"
        )
    return folder


def link_files(source: Path, target: Path) -> int:
    """Give every file of `source` a second name in `target`, or a copy where the file system has no links; return how many."""
    files = [file for file in source.iterdir() if file.is_file()]
    for file in files:
        (target / file.name).unlink(missing_ok=True)
        try:
            os.link(file, target / file.name)
        except OSError:  # another file system, or one without links
            shutil.copyfile(file, target / file.name)
    return len(files)
