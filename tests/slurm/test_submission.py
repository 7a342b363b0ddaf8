"""submit_all.sh on a real Slurm: six small jobs, submitted, failed, broken off and gone on with."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.tree import MAKE_TRACES, QUIET, Tree

pytestmark = pytest.mark.slurm
ORDER = ["prepare/a", "prepare/b", "build/a", "build/b", "train/x", "report/toy"]
FAIL_WHILE_BROKEN = f'if [ -e "$LETHE_STORE/broken" ]; then echo broken; exit 3; fi; {MAKE_TRACES}'
SECONDS = 60.0


@dataclass(frozen=True)
class Cluster:
    """A tree of six jobs, and the environment in which Slurm answers."""

    tree: Tree
    environment: Mapping[str, str]

    def submit(self, *options: str) -> subprocess.CompletedProcess[str]:
        more = {"LETHE_STORE": str(self.tree.store), "SECRET_TOKEN": "x", "SBATCH_PARTITION": "no-such-partition"}
        return self.tree.submit(*options, environment={**self.environment, **more})

    def queue(self) -> dict[str, list[tuple[int, str, str]]]:
        """What Slurm knows of this store's jobs: id, state and reason of each attempt, by job."""
        lines = self.call("squeue", "--noheader", "--states=all", "--format=%i|%j|%T|%r|%k").splitlines()
        names = {self.tree.name(job): job for job in self.tree.jobs}
        found: dict[str, list[tuple[int, str, str]]] = {}
        for number, name, state, reason, comment in sorted(line.split("|", 4) for line in lines):
            if comment == str(self.tree.store):
                found.setdefault(names[name], []).append((int(number), state, reason))
        return found

    def call(self, *command: str) -> str:
        environment = self.tree.environment(self.environment)
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    def status(self) -> dict[str, Any]:
        command = [
            "python",
            "-m",
            "runtime",
            "status",
            "generated/toy/plan.json",
            "--json",
            "--store",
            str(self.tree.store),
        ]
        environment = self.tree.environment(self.environment)
        shown = subprocess.run(command, cwd=self.tree.root, env=environment, capture_output=True, text=True, check=False)
        return {job["job"]: job for job in json.loads(shown.stdout)["jobs"]}

    def wait(self, **states: str) -> None:
        """Wait until `status` says so of every job: `wait(all="done")`, or by job."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            found = {job: item["state"] for job, item in self.status().items()}
            if found == {job: states.get(job, states["all"]) for job in found}:
                return
            time.sleep(0.2)
        raise AssertionError(f"{found}\n{self.logs()}")

    def logs(self) -> str:
        paths = sorted((self.tree.store / "logs").rglob("*.out"))
        return "\n".join(f"== {path}\n{path.read_text()}" for path in paths)


def make_tree(root: Path, switches: str = "", body: str = MAKE_TRACES) -> Tree:
    tree = Tree(root, executor="slurm")
    tree.add("prepare/a", bracket="python", body=body)
    tree.add("prepare/b", body=FAIL_WHILE_BROKEN)
    tree.add("build/a", after=["prepare/a"], bracket="python")
    tree.add("build/b", after=["prepare/b"], bracket="python")
    tree.add("train/x", after=["build/a", "build/b"], bracket="python")
    tree.add("report/toy", ended=["train/x", "build/b"])
    return tree.close(switches)


@pytest.fixture
def cluster(slurm: Mapping[str, str], tmp_path: Path) -> Cluster:
    return Cluster(make_tree(tmp_path / "a 'root'"), slurm)


def test_a_plan_runs_to_its_end_and_is_then_left_alone(cluster: Cluster) -> None:
    result = cluster.submit()
    assert result.returncode == 0, result.stderr
    cluster.wait(all="done")
    assert all(len(attempts) == 1 for attempts in cluster.queue().values())
    assert cluster.submit().stderr == "nothing to do: 6 jobs are done\n"
    number = cluster.queue()["build/a"][0][0]
    assert cluster.tree.log("build/a", number).exists()


def test_a_job_and_its_steps_get_the_store_and_no_secret(slurm: Mapping[str, str], tmp_path: Path) -> None:
    body = f'{MAKE_TRACES}; env > "$LETHE_OUT/env"; srun env > "$LETHE_OUT/srun"'
    cluster = Cluster(make_tree(tmp_path / "root", body=body), slurm)
    cluster.submit()
    cluster.wait(all="done")
    for name in ("env", "srun"):
        lines = (cluster.tree.out("prepare/a") / name).read_text().splitlines()
        assert f"LETHE_STORE={cluster.tree.store}" in lines
        assert f"LETHE_ROOT={cluster.tree.root}" in lines
        assert f"OMP_NUM_THREADS={QUIET['OMP_NUM_THREADS']}" in lines
        assert any(line.startswith("PATH=") for line in lines)
        assert not any(line.startswith(("SECRET_TOKEN=", "SBATCH_PARTITION=")) for line in lines)


def test_a_failure_is_seen_mended_and_gone_on_from(cluster: Cluster) -> None:
    cluster.tree.store.mkdir(parents=True)
    (cluster.tree.store / "broken").touch()
    cluster.submit()
    stuck = {"build/b": "upstream", "train/x": "upstream", "report/toy": "waiting"}
    cluster.wait(all="done", **{"prepare/b": "failed"}, **stuck)
    status = cluster.status()
    assert status["prepare/b"]["reason"] == "FAILED, NonZeroExitCode"
    assert Path(status["prepare/b"]["log"]).read_text() == "broken\n"
    wait_until_stuck(cluster, "build/b")

    (cluster.tree.store / "broken").unlink()
    result = cluster.submit()
    assert "1 jobs submitted, 3 already queued or running, 2 done, of 6" in result.stderr
    cluster.wait(all="done")
    assert {job: len(attempts) for job, attempts in cluster.queue().items()} == {
        job: 2 if job == "prepare/b" else 1 for job in ORDER
    }


def wait_until_stuck(cluster: Cluster, job: str) -> None:
    end = time.monotonic() + SECONDS
    while cluster.queue()[job][0][2] != "DependencyNeverSatisfied":
        assert time.monotonic() < end, cluster.queue()
        time.sleep(0.2)


def test_where_slurm_cancels_what_cannot_start_the_report_still_runs(slurm: Mapping[str, str], tmp_path: Path) -> None:
    cluster = Cluster(make_tree(tmp_path / "root", "kill_on_invalid_dep=yes"), slurm)
    cluster.tree.store.mkdir(parents=True)
    (cluster.tree.store / "broken").touch()
    cluster.submit()
    cluster.wait(all="done", **{"prepare/b": "failed", "build/b": "upstream", "train/x": "upstream"})
    assert cluster.status()["train/x"]["reason"].startswith("prepare/b failed")


def test_a_refused_job_leaves_the_rest_on_hold_until_the_next_run(cluster: Cluster) -> None:
    script = cluster.tree.generated / "jobs/build/b.sh"
    good = script.read_text()
    script.write_text(good.replace("--mem=100 ", "--mem=100 --partition=no-such-partition "))
    cluster.tree.seal()
    result = cluster.submit()
    assert result.returncode == 4
    assert "invalid partition specified" in result.stderr
    assert "3 of 6 jobs are queued; the 2 new ones that could start are on hold" in result.stderr
    time.sleep(2)
    assert {attempts[0][1] for attempts in cluster.queue().values()} == {"PENDING"}
    assert cluster.queue()["prepare/a"][0][2] == "JobHeldUser"

    script.write_text(good)
    cluster.tree.seal()
    assert cluster.submit().returncode == 0
    cluster.wait(all="done")


@pytest.mark.parametrize("lines", [1, 4, 12])
def test_a_killed_submission_is_finished_by_the_next(cluster: Cluster, lines: int) -> None:
    ledger = cluster.tree.store / "ledger/toy.tsv"
    more = {**cluster.environment, "LETHE_STORE": str(cluster.tree.store)}
    process = subprocess.Popen(["bash", str(cluster.tree.generated / "submit_all.sh")], env=cluster.tree.environment(more))
    while not (ledger.exists() and ledger.read_text().count("\n") >= lines):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    result = cluster.submit()
    assert result.returncode == 0, result.stderr
    cluster.wait(all="done")
    assert {job: len(attempts) for job, attempts in cluster.queue().items()} == dict.fromkeys(ORDER, 1)
