"""Trainings that take longer than their time limit: how often they start, in how many links where Slurm may not start them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compiler.project import Project
from tests.compiler.small import BASE, plan

TRAIN = "train/gt_sft_sums_base_nano"
LIMIT = {"partition": "main", "time": "2:00:00", "cpus": 8, "mem": "48G", "gpus": 2, "gpu": "a100l"}


def compiled(project: Project, pace: int | None, **restarts: Any) -> tuple[str, dict[str, Any], list[str]]:
    """Of a training of 20 steps, `pace` seconds each, with two hours: its line in submit_all.sh, its cost, its warnings."""
    sft = {"extends": "sft"} if pace is None else {"extends": "sft", "pace": pace}
    site = {"extends": "gres_site", "restarts": restarts, "resources": {"train": LIMIT}}
    found = plan(project, cluster="site", define={"algorithms": {"sft": sft}, "clusters": {"site": site}})
    lines = (project.tree / "submit_all.sh").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"submit {TRAIN} ")]
    (cost,) = [job["cost"] for job in found["jobs"] if job["id"] == TRAIN]
    return line, cost, [warning for warning in found["warnings"] if "time limit" in warning]


def links(line: str) -> int:
    words = line.split()
    return int(words[words.index("links") + 1]) if "links" in words else 1


@pytest.mark.parametrize(("pace", "needed"), [(None, 1), (300, 1), (720, 3), (1000, 3), (1100, 4)])
def test_where_slurm_may_not_start_a_job_again_it_has_as_many_links_as_it_needs(
    pace: int | None, needed: int, project: Project
) -> None:
    """Two hours less the five minutes in which it saves."""
    line, cost, warnings = compiled(project, pace, requeue=False)
    assert links(line) == needed and cost["gpu_hours"] == 2 * 2 * needed
    told = f"time limit is 2 h: it is stopped and goes on, {needed} starts in all"
    assert [warning.partition("and its ")[2] for warning in warnings] == ([told] if needed > 1 else [])


def test_what_may_start_again_is_one_job(project: Project) -> None:
    line, cost, warnings = compiled(project, 720)
    assert links(line) == 1 and cost["gpu_hours_expected"] == 2 * 4.0
    assert warnings == [f"{TRAIN}: 20 steps take 4.0 h, and its time limit is 2 h: it is stopped and goes on, 3 starts in all"]


def test_a_training_beyond_its_attempts_is_cut(project: Project) -> None:
    line, cost, warnings = compiled(project, 1440, requeue=False, attempts=2)
    assert links(line) == 2 and cost["gpu_hours_expected"] == 2 * 4.0
    assert warnings == [f"{TRAIN}: 20 steps take 8.0 h, and its time limit of 2 h, 2 times over, cuts it after 10 (50%)"]


def test_a_profile_may_say_how_many_links_there_are(project: Project) -> None:
    assert links(compiled(project, None, requeue=False, links=5)[0]) == 5


def test_a_job_with_links_is_in_no_array(project: Project) -> None:
    axes = {**BASE["axes"], "domain": ["sums", "facts"]}
    site = {"extends": "gres_site", "arrays": {"at_once": 2, "most": 9}, "restarts": {"requeue": False, "links": 2}}
    plan(project, cluster="site", axes=axes, define={"clusters": {"site": site}})
    lines = (project.tree / "submit_all.sh").read_text().splitlines()
    trainings = [line for line in lines if line.startswith("submit train/")]
    assert len(trainings) == 2 and all(links(line) == 2 and " in " not in line for line in trainings)
    assert any(" in " in line for line in lines if line.startswith("submit "))
