"""submit_all.sh on a real Slurm: arrays, a controller that hangs or restarts, 200 jobs and a submitter killed and killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.slurm.conftest import PRIVATE
from tests.tree import MAKE_TRACES, Tree

pytestmark = pytest.mark.slurm
SECONDS = 120.0
UNLESS_BROKEN = f'if [ -e "$LETHE_STORE/broken-${{LETHE_OUT##*/}}" ]; then exit 1; fi; {MAKE_TRACES}'


@dataclass(frozen=True)
class Cluster:
    """A tree, and the environment in which Slurm answers."""

    tree: Tree
    slurm: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        more = {**self.slurm, "LETHE_STORE": str(self.tree.store), "LETHE_RETRY_SECONDS": "1"}
        return self.tree.environment(more)

    def start(self) -> subprocess.Popen[str]:
        command = ["bash", str(self.tree.generated / "submit_all.sh"), "--yes"]
        return subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL, text=True)

    def submit(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.tree.submit(*options, environment=self.environment)

    def queue(self) -> list[tuple[str, str, str]]:
        """Id, name and state of each of this store's jobs that Slurm knows."""
        command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%j|%T|%k"]
        lines = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout.splitlines()
        rows = [line.split("|", 3) for line in lines]
        return [(row[0], row[1], row[2]) for row in rows if row[3] == str(self.tree.store)]

    def done(self) -> set[str]:
        return {job for job in self.tree.jobs if (self.tree.out(job) / "DONE.json").exists()}

    def wait(self, is_reached: Callable[[], bool]) -> None:
        end = time.monotonic() + SECONDS
        while not is_reached():
            assert time.monotonic() < end, self.queue()
            time.sleep(0.2)

    def check_once(self) -> None:
        """Each job of the plan ran exactly once, by the names and by the indices of arrays; a withdrawn double did not run."""
        ran = [(number, name) for number, name, state in self.queue() if state != "CANCELLED"]
        elements = Counter((name, number.partition("_")[2]) for number, name in ran)
        assert set(elements.values()) == {1}
        assert len(elements) == len(self.tree.jobs)


def make(root: Path, slurm: Mapping[str, str], width: int, switches: str = "at_once=20") -> Cluster:
    """A start, `width` trainings on it, an evaluation of each, and a report; the two stages are arrays."""
    tree = Tree(root, executor="slurm")
    tree.add("fetch/base")
    trained = [tree.add(f"train/{n}", after=["fetch/base"], body=UNLESS_BROKEN) for n in range(width)]
    scored = [tree.add(f"evaluate/{n}.x", after=["fetch/base", f"train/{n}"]) for n in range(width)]
    tree.add("report/toy", ended=scored)
    if switches:
        tree.array("train", dict(enumerate(trained)))
        tree.array("evaluate", dict(enumerate(scored)))
    return Cluster(tree.close(switches), slurm)


def test_arrays_run_each_element_under_its_own_name(slurm: Mapping[str, str], tmp_path: Path) -> None:
    cluster = make(tmp_path / "a 'root'", slurm, 4)
    result = cluster.submit()
    assert result.returncode == 0, result.stderr
    cluster.wait(lambda: len(cluster.done()) == 10)
    cluster.check_once()
    rows = [line.split("\t") for line in (cluster.tree.store / "ledger/toy.tsv").read_text().splitlines()]
    (number,) = [row[4] for row in rows if row[1:3] == ["submitted", "train/2"]]
    assert number.endswith("_2")
    assert cluster.tree.log("train/2", number).exists()  # type: ignore[arg-type]
    assert cluster.submit().stderr == "nothing to do: 10 jobs are done\n"


def test_a_failed_element_is_sent_again_alone_and_only_its_descendants_waited(slurm: Mapping[str, str], tmp_path: Path) -> None:
    cluster = make(tmp_path / "root", slurm, 3)
    broken = cluster.tree.store / f"broken-{cluster.tree.out('train/1').name}"
    cluster.tree.store.mkdir(parents=True)
    broken.touch()
    cluster.submit()
    cluster.wait(lambda: len(cluster.done()) == 5)
    assert cluster.done() == {"fetch/base", "train/0", "train/2", "evaluate/0.x", "evaluate/2.x"}
    broken.unlink()
    result = cluster.submit()
    assert "1 jobs submitted, 2 already queued or running, 5 done, of 8" in result.stderr
    cluster.wait(lambda: len(cluster.done()) == 8)


def test_a_plan_feeds_itself_to_its_end(slurm: Mapping[str, str], tmp_path: Path) -> None:
    cluster = make(tmp_path / "root", slurm, 3, "at_once=2")
    result = cluster.submit("--feed", "--max-jobs=3")
    assert result.returncode == 4
    assert "goes on by itself when there is room" in result.stderr
    cluster.wait(lambda: len(cluster.done()) == 8)


@contextmanager
def hanging_controller() -> Iterator[None]:
    """A controller that answers nobody, and then answers all at once."""
    pid = int((PRIVATE / "run/slurmctld.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def needs_its_own_controller(slurm: Mapping[str, str]) -> None:
    if "SLURM_CONF" not in slurm:
        pytest.skip("only a controller of our own may be stopped")


@pytest.mark.slow
def test_a_controller_that_hangs_takes_no_job_twice(slurm: Mapping[str, str], tmp_path: Path) -> None:
    needs_its_own_controller(slurm)
    cluster = make(tmp_path / "root", slurm, 5, "")
    process = cluster.start()
    ledger = cluster.tree.store / "ledger/toy.tsv"
    cluster.wait(lambda: ledger.exists() and ledger.read_text().count("submitted") >= 3)
    with hanging_controller():
        time.sleep(25)  # sbatch gives up after 10 s
    assert process.wait() in (0, 4)
    assert cluster.submit().returncode == 0
    cluster.wait(lambda: len(cluster.done()) == 12)
    cluster.check_once()


@pytest.mark.slow
def test_a_controller_restarted_in_the_middle_loses_nothing(slurm: Mapping[str, str], tmp_path: Path) -> None:
    needs_its_own_controller(slurm)
    cluster = make(tmp_path / "root", slurm, 10, "")
    process = cluster.start()
    ledger = cluster.tree.store / "ledger/toy.tsv"
    cluster.wait(lambda: ledger.exists() and ledger.read_text().count("submitted") >= 5)
    pid = int((PRIVATE / "run/slurmctld.pid").read_text())
    os.kill(pid, signal.SIGTERM)
    cluster.wait(lambda: not Path(f"/proc/{pid}").exists())
    subprocess.run(["slurmctld"], env=cluster.environment, check=True)
    assert process.wait() in (0, 4)
    assert cluster.submit().returncode == 0
    cluster.wait(lambda: len(cluster.done()) == 22)
    cluster.check_once()


@pytest.mark.slow
@pytest.mark.parametrize("switches", ["", "at_once=20"])
def test_two_hundred_jobs_with_a_submitter_killed_again_and_again(
    slurm: Mapping[str, str], tmp_path: Path, switches: str
) -> None:
    cluster, lot = make(tmp_path / "root", slurm, 99, switches), random.Random(6)
    for _ in range(12):
        process = cluster.start()
        time.sleep(lot.uniform(0.05, 1.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    result = cluster.submit()
    assert result.returncode == 0, result.stderr
    cluster.wait(lambda: len(cluster.done()) == 200)
    cluster.check_once()
    assert cluster.submit().stderr == "nothing to do: 200 jobs are done\n"
