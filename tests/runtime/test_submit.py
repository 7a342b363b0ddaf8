"""submit.sh: what is submitted, how, and that no job is submitted twice, wherever an earlier run broke off."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.tree import Tree

FAKE = Path(__file__).with_name("fake_slurm.py")
ORDER = ["prepare/a", "prepare/b", "build/a", "build/b", "train/x", "report/toy"]
ROOTS = ["prepare/a", "prepare/b"]


@dataclass
class Cluster:
    """A tree of six jobs and a pretended Slurm."""

    tree: Tree
    state: Path
    tools: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.state.parent}:{self.tools}",
            "FAKE_SLURM": str(self.state),
            "LETHE_STORE": str(self.tree.store),
        }

    def submit(self, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.tree.submit(*options, environment={**self.environment, **more})

    def load(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.state.read_text())
        return content

    def set(self, **content: Any) -> None:
        self.state.write_text(json.dumps({**self.load(), **content}))

    def calls(self, *beginning: str) -> list[list[str]]:
        return [call for call in self.load()["calls"] if tuple(call[: len(beginning)]) == beginning]

    def jobs(self) -> dict[str, dict[str, Any]]:
        """What Slurm has, by job; the newest where there are several."""
        names = {self.tree.name(job): job for job in self.tree.jobs}
        return {names[job["name"]]: job for job in self.load()["jobs"]}

    def end(self, job: str, state: str) -> None:
        """Let a job end; what waits for it learns of it as it would from Slurm."""
        number = self.jobs()[job]["id"]
        jobs = self.load()["jobs"]
        for item in jobs:
            if item["id"] == number:
                item.update(state=state, reason="None")
            waits = f":{number}(unfulfilled)"
            if waits in item["dependency"] and "afterok" in item["dependency"]:
                item["dependency"] = item["dependency"].replace(waits, f":{number}(failed)")
                item["reason"] = "DependencyNeverSatisfied"
        self.set(jobs=jobs)

    def finish(self, job: str) -> None:
        """Put a job's done-marker into the store."""
        self.tree.out(job).mkdir(parents=True)
        (self.tree.out(job) / "DONE.json").write_text("{}")


def make_tree(root: Path, switches: str = "", executor: str = "slurm") -> Tree:
    tree = Tree(root, executor=executor)
    tree.add("prepare/a")
    tree.add("prepare/b")
    tree.add("build/a", after=["prepare/a"])
    tree.add("build/b", after=["prepare/b"])
    tree.add("train/x", after=["build/a", "build/b"])
    tree.add("report/toy", after=["prepare/a"], ended=["train/x", "build/b"])
    return tree.close(switches)


def make_cluster(folder: Path, switches: str = "") -> Cluster:
    commands = folder / "bin"
    commands.mkdir()
    for name in ("sbatch", "squeue", "scontrol"):
        (commands / name).write_text(FAKE.read_text().replace("/usr/bin/env python3", f"{sys.executable} -SE", 1))
        (commands / name).chmod(0o755)
    state = commands / "state.json"
    state.write_text(json.dumps({"calls": [], "jobs": [], "faults": {}}))
    return Cluster(make_tree(folder / "a 'root'", switches), state, make_tools(folder))


def make_tools(folder: Path) -> Path:
    """A folder for PATH with bash and those of coreutils that submit.sh uses, and nothing else."""
    tools = folder / "tools"
    tools.mkdir()
    for name in ("bash", "cat", "dirname", "id", "mkdir", "rm", "sha256sum", "sync", "tail"):
        (tools / name).symlink_to(shutil.which(name) or name)
    return tools


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make_cluster(tmp_path)


def ids(cluster: Cluster, jobs: Sequence[str]) -> list[int]:
    return [cluster.jobs()[job]["id"] for job in jobs]


# ---- a whole submission -----------------------------------------------------------------------------------------------


def test_jobs_go_in_dependency_order_with_unique_names_and_logs(cluster: Cluster) -> None:
    result = cluster.submit()
    assert result.returncode == 0, result.stderr
    assert "6 jobs submitted, 0 already queued or running, 0 done, of 6" in result.stderr
    assert [job["name"] for job in cluster.load()["jobs"]] == [cluster.tree.name(job) for job in ORDER]
    train = cluster.jobs()["train/x"]
    assert train["log"] == str(cluster.tree.log("train/x")).replace(".out", "-%j.out")
    assert train["log_folder_exists"]
    assert train["script"] == str(cluster.tree.generated / "jobs/train/x.sh")


def test_dependencies_name_the_parents(cluster: Cluster) -> None:
    cluster.submit()
    waits = {job: item["dependency"] for job, item in cluster.jobs().items()}
    assert waits["prepare/a"] == ""
    assert waits["train/x"] == "afterok:3(unfulfilled),afterok:4(unfulfilled)"
    assert waits["report/toy"] == "afterok:1(unfulfilled),afterany:5(unfulfilled),afterany:4(unfulfilled)"


def test_roots_are_held_until_everything_is_in_and_released_at_once(cluster: Cluster) -> None:
    cluster.submit()
    held = [call[-1] for call in cluster.calls("sbatch") if "--hold" in call]
    assert held == [str(cluster.tree.generated / f"jobs/{job}.sh") for job in ROOTS]
    assert cluster.calls("scontrol") == [["scontrol", "release", "1,2"]]
    assert cluster.load()["calls"][-1][0] == "scontrol"


def test_slurm_is_asked_once_however_many_jobs_there_are(cluster: Cluster) -> None:
    cluster.submit()
    assert len(cluster.calls("squeue")) == 1


def test_the_ledger_says_what_is_about_to_happen_and_then_what_did(cluster: Cluster) -> None:
    cluster.submit()
    pairs = [(event, job) for job in ORDER for event in ("intent", "submitted")]
    assert cluster.tree.events() == pairs + [("released", job) for job in ROOTS]


def test_a_job_gets_the_store_and_the_root_and_nothing_else_of_this_shell(cluster: Cluster) -> None:
    leaks = {
        "SBATCH_PARTITION": "x",
        "SLURM_ARRAY_JOB_ID": "7",
        "SQUEUE_STATES": "CD",
        "SLURM_CONF": "/keep",
        "TOKEN": "s",
    }
    assert cluster.submit(**leaks).returncode == 0
    job = cluster.jobs()["train/x"]
    assert set(job["export"].split(",")) <= {"LETHE_ROOT", "LETHE_STORE", "HOME", "LANG", "PATH", "USER"}
    tree = cluster.tree
    assert job["environment"] == {"SLURM_CONF": "/keep", "LETHE_ROOT": str(tree.root), "LETHE_STORE": str(tree.store)}


def test_scratch_is_passed_on_where_there_is_one(cluster: Cluster) -> None:
    cluster.submit(SCRATCH="/scratch")
    assert "SCRATCH" in cluster.jobs()["train/x"]["export"].split(",")


def test_a_cluster_may_have_slurm_cancel_what_can_never_start(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, switches="kill_on_invalid_dep=yes")
    cluster.submit()
    killed = [call[-1] for call in cluster.calls("sbatch") if "--kill-on-invalid-dep=yes" in call]
    assert killed == [str(cluster.tree.generated / f"jobs/{job}.sh") for job in ORDER if job not in ROOTS]


# ---- running it again ---------------------------------------------------------------------------------------------------


def test_what_is_queued_or_running_is_not_submitted_again(cluster: Cluster) -> None:
    cluster.submit()
    result = cluster.submit()
    assert "0 jobs submitted, 6 already queued or running" in result.stderr
    assert len(cluster.load()["jobs"]) == 6
    assert len(cluster.calls("scontrol")) == 1


def test_what_is_done_is_neither_submitted_nor_waited_for(cluster: Cluster) -> None:
    for job in ("prepare/a", "build/a"):
        cluster.finish(job)
    result = cluster.submit()
    assert "4 jobs submitted, 0 already queued or running, 2 done, of 6" in result.stderr
    assert cluster.jobs()["train/x"]["dependency"] == "afterok:2(unfulfilled)"
    assert cluster.jobs()["build/b"]["dependency"] == "afterok:1(unfulfilled)"


def test_with_everything_done_slurm_is_not_even_asked(cluster: Cluster) -> None:
    for job in ORDER:
        cluster.finish(job)
    result = cluster.submit()
    assert (result.returncode, result.stderr) == (0, "nothing to do: 6 jobs are done\n")
    assert cluster.load()["calls"] == []


def test_a_failed_job_goes_in_again_and_those_that_waited_for_it_get_the_new_one(cluster: Cluster) -> None:
    cluster.submit()
    cluster.end("prepare/b", "F")
    result = cluster.submit()
    assert "1 jobs submitted, 5 already queued or running" in result.stderr
    assert Counter(job["name"] for job in cluster.load()["jobs"])[cluster.tree.name("prepare/b")] == 2
    assert cluster.calls("scontrol", "update") == [["scontrol", "update", "jobid=4", "dependency=afterok:7"]]
    assert cluster.calls("scontrol", "release")[-1] == ["scontrol", "release", "7"]


def test_a_job_whose_failed_parent_was_done_elsewhere_waits_no_more(cluster: Cluster) -> None:
    cluster.submit()
    cluster.end("prepare/b", "F")
    cluster.finish("prepare/b")
    cluster.submit()
    assert cluster.calls("scontrol", "update") == [["scontrol", "update", "jobid=4", "dependency="]]


def test_the_same_study_in_another_store_is_another_matter(cluster: Cluster, tmp_path: Path) -> None:
    cluster.submit()
    result = cluster.submit(LETHE_STORE=str(tmp_path / "other"))
    assert "6 jobs submitted, 0 already queued or running" in result.stderr


def test_a_site_that_rewrites_comments_gets_no_job_twice(cluster: Cluster) -> None:
    cluster.submit()
    cluster.set(jobs=[{**job, "comment": "set by the site"} for job in cluster.load()["jobs"]])
    assert "0 jobs submitted, 6 already queued or running" in cluster.submit().stderr


def test_what_somebody_holds_by_hand_stays_held(cluster: Cluster) -> None:
    cluster.submit()
    jobs = cluster.load()["jobs"]
    jobs[0]["reason"] = "JobHeldUser"
    cluster.set(jobs=jobs)
    cluster.submit()
    assert cluster.jobs()["prepare/a"]["reason"] == "JobHeldUser"


# ---- broken off -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["refuse", "lost"])
@pytest.mark.parametrize("nth", [2, 6])
def test_a_refusal_half_way_starts_nothing_and_the_next_run_goes_on(cluster: Cluster, how: str, nth: int) -> None:
    cluster.set(faults={"sbatch": nth, "how": how})
    result = cluster.submit()
    assert result.returncode == 4
    assert "sbatch: error: Batch job submission failed" in result.stderr
    assert f"sbatch did not take {ORDER[nth - 1]}" in result.stderr
    assert f"{nth - 1} of 6 jobs are queued" in result.stderr
    assert "run this again" in result.stderr
    assert cluster.calls("scontrol") == []
    check_next_run(cluster)


def test_a_refusal_of_the_first_job_leaves_nothing_behind(cluster: Cluster) -> None:
    cluster.set(faults={"sbatch": 1, "how": "refuse"})
    result = cluster.submit()
    assert result.returncode == 1
    assert "No job of this study is queued" in result.stderr


@pytest.mark.parametrize("how", ["kill-before", "kill-after"])
@pytest.mark.parametrize("nth", range(1, 7))
def test_a_submission_killed_at_any_sbatch_is_finished_by_the_next(cluster: Cluster, how: str, nth: int) -> None:
    cluster.set(faults={"sbatch": nth, "how": how})
    assert cluster.submit().returncode == -signal.SIGKILL
    check_next_run(cluster)


def test_a_failed_release_is_made_up_for(cluster: Cluster) -> None:
    cluster.set(faults={"release": True})
    result = cluster.submit()
    assert result.returncode == 4
    assert "could not release" in result.stderr
    check_next_run(cluster)


def check_next_run(cluster: Cluster) -> None:
    """A second run, without faults, leaves each job queued exactly once, on nothing but its parents."""
    cluster.set(faults={})
    result = cluster.submit()
    assert result.returncode == 0, result.stderr
    assert Counter(job["name"] for job in cluster.load()["jobs"]) == {cluster.tree.name(job): 1 for job in ORDER}
    assert not any(job["reason"] == "JobHeldUser" for job in cluster.load()["jobs"])
    parents = ids(cluster, ["build/a", "build/b"])
    assert cluster.jobs()["train/x"]["dependency"] == ",".join(f"afterok:{number}(unfulfilled)" for number in parents)
    recorded = {job for event, job in cluster.tree.events() if event == "submitted"}
    assert recorded == set(ORDER)


def test_a_torn_last_line_of_the_ledger_is_left_alone(cluster: Cluster) -> None:
    cluster.submit()
    ledger = cluster.tree.store / "ledger/toy.tsv"
    ledger.write_text(ledger.read_text() + "2026-01-31T12:00:00Z\tinte")
    cluster.end("prepare/b", "F")
    cluster.submit()
    assert [line for line in ledger.read_text().splitlines() if line.count("\t") != 5] == ["2026-01-31T12:00:00Z\tinte"]


def test_two_submissions_at_a_time_are_refused(cluster: Cluster) -> None:
    lock = cluster.tree.store / "ledger/toy.lock"
    lock.parent.mkdir(parents=True)
    host = subprocess.run(["bash", "-c", "echo $HOSTNAME"], capture_output=True, text=True, check=True).stdout.strip()
    lock.write_text(f"{host} {os.getpid()}\n")
    result = cluster.submit()
    assert result.returncode == 1
    assert f"process {os.getpid()} on {host} is submitting toy right now" in result.stderr
    assert cluster.calls("sbatch") == []


def test_the_lock_of_a_killed_submission_is_taken_over_and_given_back(cluster: Cluster) -> None:
    cluster.set(faults={"sbatch": 1, "how": "kill-before"})
    cluster.submit()
    assert (cluster.tree.store / "ledger/toy.lock").exists()
    assert cluster.submit().returncode == 0
    assert not (cluster.tree.store / "ledger/toy.lock").exists()


# ---- mistakes and questions ---------------------------------------------------------------------------------------------


def test_a_tree_edited_by_hand_is_refused_by_name_unless_forced(cluster: Cluster) -> None:
    script = cluster.tree.generated / "jobs/train/x.sh"
    script.write_text(script.read_text() + "# more\n")
    (cluster.tree.generated / "configs/train/x.yaml").unlink()
    result = cluster.submit()
    assert result.returncode == 1
    assert "jobs/train/x.sh: FAILED" in result.stderr
    assert "configs/train/x.yaml: FAILED open or read" in result.stderr
    assert cluster.calls("sbatch") == []
    assert cluster.submit("--force").returncode == 0
    assert len(cluster.calls("sbatch")) == 6


def test_a_dry_run_prints_every_call_and_changes_nothing(cluster: Cluster) -> None:
    result = cluster.submit("--dry-run")
    lines = result.stdout.splitlines()
    assert len(lines) == 6
    assert "--hold" in lines[0]
    assert "--dependency=afterok:{prepare/a},afterany:{train/x}:{build/b}" in lines[5]
    assert cluster.calls("sbatch") == []
    assert not cluster.tree.store.exists()


def test_a_dry_run_shows_what_is_under_way(cluster: Cluster) -> None:
    cluster.submit()
    assert cluster.submit("--dry-run").stdout.splitlines()[0] == "# prepare/a is under way: 1"


def test_a_dry_run_needs_no_slurm(cluster: Cluster) -> None:
    result = cluster.submit("--dry-run", PATH=str(cluster.tools))
    assert len([line for line in result.stdout.splitlines() if line.startswith("sbatch ")]) == 6


def test_a_dry_run_shows_the_plan_even_when_slurm_does_not_answer(cluster: Cluster) -> None:
    cluster.set(faults={"squeue": True})
    result = cluster.submit("--dry-run")
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 6
    assert "as if nothing were" in result.stderr


def test_without_slurm_the_message_says_where_to_go(cluster: Cluster) -> None:
    result = cluster.submit(PATH=str(cluster.tools))
    assert result.returncode == 1
    assert "login node" in result.stderr


def test_when_slurm_cannot_be_asked_nothing_is_submitted(cluster: Cluster) -> None:
    cluster.set(faults={"squeue": True})
    result = cluster.submit()
    assert result.returncode == 1
    assert "Unable to contact slurm controller" in result.stderr
    assert cluster.calls("sbatch") == []


def test_help_teaches_and_touches_nothing(cluster: Cluster) -> None:
    result = cluster.submit("--help")
    assert result.returncode == 0
    assert "--dry-run" in result.stdout
    assert str(cluster.tree.store) in result.stdout or "LETHE_STORE" in result.stdout


def test_an_unknown_option_names_the_known_ones(cluster: Cluster) -> None:
    result = cluster.submit("--dryrun")
    assert result.returncode == 1
    assert "unknown option --dryrun" in result.stderr
    assert "--dry-run" in result.stderr


def test_without_a_place_for_results_nothing_starts(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, switches='store=${LETHE_STORE:-"$SCRATCH/lethe"}')
    result = cluster.submit(LETHE_STORE="", SCRATCH="")
    assert result.returncode == 1
    assert "neither LETHE_STORE nor SCRATCH is set" in result.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("submit train/x 1234", "train/x stands twice"),
        ("submit train/none 1234", "jobs/train/none.sh is missing"),
        ("submit train/y 1234 build/a", "'build/a' stands before steps, after or ended"),
        ("submit train/y 1234 steps 5 x", "train/y: 'x' is no step"),
        ("submit train/y 1234 after report/later", "train/y comes before report/later, which it needs"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(tmp_path: Path, line: str, message: str) -> None:
    cluster = make_cluster(tmp_path)
    (cluster.tree.generated / "jobs/train/y.sh").write_text("")
    cluster.tree.lines.append(line)
    cluster.tree.close()
    result = cluster.submit()
    assert result.returncode == 1
    assert message in result.stderr
    assert cluster.calls("sbatch") == []


@pytest.mark.parametrize(("answer", "code", "submitted"), [("y", 0, 6), ("n", 1, 0), ("", 1, 0)])
def test_on_a_terminal_it_asks_first(cluster: Cluster, answer: str, code: int, submitted: int) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        ["bash", str(cluster.tree.generated / "submit_all.sh")],
        env=cluster.tree.environment(cluster.environment),
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    os.write(leader, f"{answer}\n".encode())
    shown = read_all(leader)
    assert process.wait() == code
    assert "toy: 6 jobs, 0 done, 0 queued or running. Submit 6 to Slurm? [y/N]" in shown
    assert len(cluster.calls("sbatch")) == submitted


def read_all(terminal: int) -> str:
    """Everything written to a terminal until its other side closes."""
    shown = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # how Linux says that nobody has the other side open any more
            part = b""
        if not part:
            os.close(terminal)
            return shown.decode()
        shown += part


# ---- this machine -------------------------------------------------------------------------------------------------------


def test_for_this_machine_a_dry_run_lists_the_scripts(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "root", executor="local")
    result = tree.submit("--dry-run")
    assert result.stdout.splitlines() == [f"bash {tree.generated}/jobs/{job}.sh" for job in ORDER]
    assert not tree.store.exists()


def test_for_this_machine_a_relative_store_is_the_roots(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "root", executor="local")
    for job in ORDER:
        tree.out(job).mkdir(parents=True)
        (tree.out(job) / "DONE.json").write_text("{}")
    start = time.monotonic()
    result = tree.submit()
    assert result.stderr == "nothing to do: 6 jobs are done\n"
    assert time.monotonic() - start < 1
