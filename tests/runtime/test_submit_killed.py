"""Wherever a submission is killed: after the next run Slurm has each job of the plan once, waiting for its own parents."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runtime.simulate.cluster import Cluster, submit
from tests.tree import Tree

NEVER = "1000000"


@dataclass
class Grown:
    """A random plan on an empty Slurm; `waits` is what each job should wait for."""

    tree: Tree
    cluster: Cluster
    waits: dict[str, dict[str, str]] = field(default_factory=dict)

    def submit(self, **fault: str) -> subprocess.CompletedProcess[str]:
        return submit(self.cluster, self.tree.generated / "submit_all.sh", self.tree.store, fault)

    def steps(self) -> int:
        return int((self.cluster.folder / "steps").read_text())


def grown(folder: str, seed: int, stages: int = 4) -> Grown:
    """A few stages of jobs, some of them arrays, or chains of links.

    A job waits for jobs of stages before, an element perhaps for its like.
    """
    lot = random.Random(seed)
    tree, cluster = Tree(Path(folder) / "root", executor="slurm"), Cluster.make(Path(folder) / "slurm")
    found, before, arrays = Grown(tree, cluster), list[str](), list[list[str]]()
    for stage in range(lot.randint(1, stages)):
        after = lot.sample(before, lot.randint(0, min(2, len(before))))
        ended = [job for job in lot.sample(before, lot.randint(0, min(2, len(before)))) if job not in after]
        like = lot.choice(arrays) if arrays and lot.random() < 0.6 else []
        like = [] if set(like) & {*after, *ended} else like
        jobs = [f"train/{stage}.{number}" for number in range(len(like) or lot.randint(1, 3))]
        links = 1 if like else lot.choice([1, 1, 2, 3])
        for job, own in zip(jobs, like or [None] * len(jobs), strict=True):
            parents = [*after, own] if own else after
            tree.add(job, after=parents, ended=ended, links=links)
            chain = [*(f"{job}+{number}" for number in range(1, links)), job]
            for link, last in zip(chain, [None, *chain], strict=False):
                others = [*ended, last] if last else ended
                found.waits[link] = dict.fromkeys(parents, "afterok") | dict.fromkeys(others, "afterany")
        if links == 1 and len(jobs) > 1 and lot.random() < 0.7:
            tree.array(f"train{stage}", dict(enumerate(jobs)))
            arrays.append(jobs)
        before += jobs
    tree.close("at_once=2")
    return found


def check(found: Grown, seed: object) -> None:
    """Each job is there once, on nothing but its parents, and the ledger knows it."""
    jobs = list(found.cluster.queue.jobs.values())
    names = {job.id: "/".join(Path(job.script).parts[-2:]).removesuffix(".sh") + link_of(job.name) for job in jobs}
    assert Counter(names.values()) == dict.fromkeys(found.waits, 1), seed
    assert {names[job.id]: {names[p]: how for p, how in job.waits.items()} for job in jobs} == found.waits, seed
    assert not any(job.held for job in jobs), seed
    assert {job for event, job in found.tree.events() if event == "submitted"} == set(found.waits), seed


def link_of(name: str) -> str:
    """As in +1, where a name in Slurm is that of a link before a job's last."""
    last = name.rpartition(".")[2]
    return f"+{last}" if len(last) == 1 else ""


def killed_at(seed: int, step: int) -> bool:
    """Kill a submission at that step, if it has so many; submit again, and check."""
    with tempfile.TemporaryDirectory() as folder:
        found = grown(folder, seed)
        killed = found.submit(FAKE_SLURM_KILL_AT=str(step)).returncode == -signal.SIGKILL
        done = found.submit()
        assert done.returncode == 0, (seed, step, done.stderr)
        check(found, (seed, step))
    return killed


def steps_of(seed: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        found = grown(folder, seed)
        assert found.submit(FAKE_SLURM_KILL_AT=NEVER).returncode == 0
        check(found, seed)
        return found.steps()


@pytest.mark.parametrize("seed", range(30))
def test_killed_at_a_step_drawn_by_lot(seed: int) -> None:
    assert killed_at(seed, random.Random(seed).randint(1, steps_of(seed)))


def test_killed_at_every_step() -> None:
    steps = steps_of(3)
    assert steps > 10
    assert [killed_at(3, step) for step in range(1, steps + 2)] == [True] * steps + [False]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200))
def test_killed_at_some_step_of_many_plans(seed: int) -> None:
    """At a drawn step; with LETHE_EVERY_STEP=1 at every one, which takes a quarter of an hour for all plans."""
    steps = range(1, steps_of(seed) + 1)
    chosen = steps if os.environ.get("LETHE_EVERY_STEP") == "1" else random.Random(seed).sample(steps, 1)
    assert [killed_at(seed, step) for step in chosen].count(False) == 0


@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again(seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found, lot = grown(folder, seed), random.Random(seed)
        for _ in range(4):
            (found.cluster.folder / "steps").unlink(missing_ok=True)
            found.submit(FAKE_SLURM_KILL_AT=str(lot.randint(1, 6)))
        assert found.submit().returncode == 0
        check(found, seed)


@pytest.mark.parametrize("how", ["lost", "lost-squeue"])
@pytest.mark.parametrize("seed", range(3))
def test_an_answer_that_gets_lost(seed: int, how: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = grown(folder, seed)
        found.submit(FAKE_SLURM_AT=str(random.Random(seed).randint(1, 3)), FAKE_SLURM_FAULT=how)
        (found.cluster.folder / "silent").unlink(missing_ok=True)
        assert found.submit().returncode == 0
        check(found, seed)


@pytest.mark.parametrize("seed", range(3))
def test_two_submissions_at_once(seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = grown(folder, seed)
        environment = found.tree.environment(
            {**found.cluster.environment("/usr/bin:/bin"), "LETHE_STORE": str(found.tree.store)}
        )
        command = ["bash", str(found.tree.generated / "submit_all.sh")]
        both = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(2)]
        assert 0 in [process.wait() for process in both]
        assert found.submit().returncode == 0
        check(found, seed)
