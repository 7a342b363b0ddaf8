"""What the tests of unlearning share: a model that knows what it is to forget, and jobs that begin with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.job import Job
from runtime.jobs import train
from tests.runtime.toys import Values, untrained
from tests.runtime.unlearning import FORGET, RETAIN, Make, config, unlearning_job


@pytest.fixture(scope="session")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was fine-tuned on both sets."""
    folder = tmp_path_factory.mktemp("knowing")
    given = config("finetune", epochs=None, steps=60, batch_size=16, lr=5e-3, execution={"micro_batch_size": 16})
    train.run(unlearning_job(given, folder, untrained(folder / "start"), "knowing", forget=FORGET + RETAIN))
    return folder / "knowing"


@pytest.fixture
def make(knowing: Path, tmp_path: Path) -> Make:
    """Make a job of a config; `start` may be another model, and the rest is what `unlearning_job` takes."""

    def job(given: Values, out: str = "out", start: Path = knowing, **data: Any) -> Job:
        return unlearning_job(given, tmp_path, start, out, **data)

    return job
