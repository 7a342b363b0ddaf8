"""Job `pick`: an intermediate checkpoint of a training, as a checkpoint of its own. Input: `run` (checkpoint.hf)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.job import Job
from runtime.store.steps import link_files, step_folder


def run(job: Job) -> Mapping[str, Any]:
    """Link the files of the checkpoint after `step` steps into the output. Raises JobError where the training kept none."""
    step = job.config["step"]
    files = link_files(step_folder(job.inputs["run"], step), job.out)
    return {"step": step, "files": files}
