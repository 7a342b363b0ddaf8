"""Job `merge`: an adapter added to the weights of the model it was trained on. Inputs: `start` (checkpoint.hf), `adapter`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.job import Job
from runtime.models import load_tokenizer, save_checkpoint
from runtime.models.adapters import merged
from runtime.store.steps import step_folder


def run(job: Job) -> Mapping[str, Any]:
    """Write the merged model as a `checkpoint.hf`, of the adapter's last step or of `step`."""
    step, adapter = job.config["step"], job.inputs["adapter"]
    start = job.inputs["start"].path
    model = merged(start, adapter.path if step is None else step_folder(adapter, step))
    save_checkpoint(model, load_tokenizer(start), job.out)
    return {"step": step, "parameters": model.num_parameters()}
