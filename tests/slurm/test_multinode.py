"""One training on two nodes of a real Slurm, by its generated script: the processes meet, hear a signal, and go on later."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.slurm.trained import Study

pytestmark = pytest.mark.slurm
SPEC = Path(__file__).with_name("twonodes.yaml")
STEPS = 800


def test_a_training_on_two_nodes_that_is_told_to_stop_is_queued_again_and_goes_on(
    slurm: Mapping[str, str], tmp_path: Path
) -> None:
    study = Study(SPEC, tmp_path, slurm)
    study.submit()
    study.wait(lambda: study.progress() > 0 or "FAILED" in str(study.trainings()))
    [job] = study.trainings()
    assert (job.state, job.nodes) == ("RUNNING", "node[1-2]"), study.logs()
    study.call("scancel", "--batch", "--signal=USR1", job.id)  # what Slurm sends before the time limit
    study.wait_until_done()
    assert study.facts()["steps"] == STEPS
    stopped = re.search(rf"stopped at step (\d+) of {STEPS}", study.logs())
    assert stopped and 0 < int(stopped[1]) < STEPS, study.logs()  # both processes heard it, and saved
    assert [seen.id for seen in study.trainings()] == [job.id]  # one job of Slurm's, so that who waits for it goes on waiting
    tried = [(one["slurm"], one["restarts"], one["exit_code"]) for one in study.attempts()]
    assert tried == [(job.id, 0, 75), (job.id, 1, 0)]
    assert not (study.out / "TRUNCATED.json").exists()
