"""submit.sh: what is submitted, how, and that no job is submitted twice, wherever an earlier run broke off."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.runtime.submitting import Cluster, make_tools
from tests.tree import Tree

ORDER = ["prepare/a", "prepare/b", "build/a", "build/b", "train/x", "report/toy"]
ROOTS = ["prepare/a", "prepare/b"]
SHELL_VARIABLES = ("SBATCH_", "SLURM_", "SQUEUE_", "LETHE_")


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
    return Cluster.of(make_tree(folder / "a 'root'", switches), folder)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make_cluster(tmp_path)


def ids(cluster: Cluster, jobs: Sequence[str]) -> list[int]:
    return [cluster.jobs()[job].id for job in jobs]


# ---- a whole submission -----------------------------------------------------------------------------------------------


def test_jobs_go_in_dependency_order_with_unique_names_and_logs(cluster: Cluster) -> None:
    result = cluster.submit()
    assert result.returncode == 0, result.stderr
    assert "6 jobs submitted, 0 already queued or running, 0 done, of 6" in result.stderr
    assert [job.name for job in cluster.queued()] == [cluster.tree.name(job) for job in ORDER]
    train = cluster.jobs()["train/x"]
    assert train.log == str(cluster.tree.log("train/x")).replace(".out", "-%j.out")
    assert Path(train.log).parent.is_dir()
    assert train.script == str(cluster.tree.generated / "jobs/train/x.sh")


def test_dependencies_name_the_parents(cluster: Cluster) -> None:
    cluster.submit()
    assert "dependency" not in cluster.sent("prepare/a")
    assert cluster.sent("train/x")["dependency"] == "afterok:3:4"
    assert cluster.sent("report/toy")["dependency"] == "afterok:1,afterany:5:4"


def test_roots_are_held_until_everything_is_in_and_released_at_once(cluster: Cluster) -> None:
    cluster.submit()
    held = [call[-1] for call in cluster.calls("sbatch") if "--hold" in call]
    assert held == [str(cluster.tree.generated / f"jobs/{job}.sh") for job in ROOTS]
    assert cluster.calls("scontrol") == [["scontrol", "release", "1,2"]]
    assert cluster.calls()[-1][0] == "scontrol"


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
    watched = watch_environment(cluster)
    assert cluster.submit(**leaks, PATH=f"{watched.parent}:{cluster.environment['PATH']}").returncode == 0
    exported = set(cluster.sent("train/x")["export"].split(","))
    assert exported <= {"LETHE_ROOT", "LETHE_STORE", "HOME", "LANG", "PATH", "USER"}
    seen = dict(line.split("=", 1) for line in watched.read_text().splitlines() if line.startswith(SHELL_VARIABLES))
    tree = cluster.tree
    assert seen == {"SLURM_CONF": "/keep", "LETHE_ROOT": str(tree.root), "LETHE_STORE": str(tree.store)}


def watch_environment(cluster: Cluster) -> Path:
    """Put before sbatch a program that notes the environment it is called with; give the file, which lies beside it."""
    before = cluster.folder.parent / "before"
    before.mkdir()
    sbatch = before / "sbatch"
    sbatch.write_text(f'#!/bin/sh\n/usr/bin/env >{before}/seen\nexec {cluster.folder}/bin/sbatch "$@"\n')
    sbatch.chmod(0o755)
    return before / "seen"


def test_scratch_is_passed_on_where_there_is_one(cluster: Cluster) -> None:
    cluster.submit(SCRATCH="/scratch")
    assert "SCRATCH" in cluster.sent("train/x")["export"].split(",")


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
    assert len(cluster.queued()) == 6
    assert len(cluster.calls("scontrol")) == 1


def test_what_is_done_is_neither_submitted_nor_waited_for(cluster: Cluster) -> None:
    for job in ("prepare/a", "build/a"):
        cluster.finish(job)
    result = cluster.submit()
    assert "4 jobs submitted, 0 already queued or running, 2 done, of 6" in result.stderr
    assert cluster.sent("train/x")["dependency"] == "afterok:2"
    assert cluster.sent("build/b")["dependency"] == "afterok:1"


def test_with_everything_done_slurm_is_not_even_asked(cluster: Cluster) -> None:
    for job in ORDER:
        cluster.finish(job)
    result = cluster.submit()
    assert (result.returncode, result.stderr) == (0, "nothing to do: 6 jobs are done\n")
    assert cluster.calls() == []


def test_a_failed_job_goes_in_again_and_those_that_waited_for_it_get_the_new_one(cluster: Cluster) -> None:
    cluster.submit()
    cluster.fail("prepare/b")
    result = cluster.submit()
    assert "1 jobs submitted, 5 already queued or running" in result.stderr
    assert Counter(job.name for job in cluster.queued())[cluster.tree.name("prepare/b")] == 2
    assert cluster.calls("scontrol", "update") == [["scontrol", "update", "jobid=4", "dependency=afterok:7"]]
    assert cluster.calls("scontrol", "release")[-1] == ["scontrol", "release", "7"]


def test_a_job_whose_failed_parent_was_done_elsewhere_waits_no_more(cluster: Cluster) -> None:
    cluster.submit()
    cluster.fail("prepare/b")
    cluster.finish("prepare/b")
    cluster.submit()
    assert cluster.calls("scontrol", "update") == [["scontrol", "update", "jobid=4", "dependency="]]


def test_the_same_study_in_another_store_is_another_matter(cluster: Cluster, tmp_path: Path) -> None:
    cluster.submit()
    result = cluster.submit(LETHE_STORE=str(tmp_path / "other"))
    assert "6 jobs submitted, 0 already queued or running" in result.stderr


def test_a_site_that_rewrites_comments_gets_no_job_twice(cluster: Cluster) -> None:
    cluster.submit()
    slurm = cluster.slurm
    for job in slurm.queue.jobs.values():
        job.comment = "set by the site"
    slurm.save()
    assert "0 jobs submitted, 6 already queued or running" in cluster.submit().stderr


def test_what_somebody_holds_by_hand_stays_held(cluster: Cluster) -> None:
    cluster.submit()
    slurm = cluster.slurm
    slurm.queue.hold(cluster.jobs()["prepare/a"].id, True)
    slurm.save()
    cluster.submit()
    assert cluster.jobs()["prepare/a"].reason == "JobHeldUser"


# ---- broken off -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nth", [2, 6])
def test_a_refusal_half_way_starts_nothing_and_the_next_run_goes_on(cluster: Cluster, nth: int) -> None:
    result = cluster.submit(FAKE_SLURM_AT=str(nth), FAKE_SLURM_FAULT="refuse")
    assert result.returncode == 4
    assert "sbatch: error: Batch job submission failed" in result.stderr
    assert f"sbatch did not take {ORDER[nth - 1]}" in result.stderr
    assert f"{nth - 1} of 6 jobs are queued" in result.stderr
    assert "run this again" in result.stderr
    assert cluster.calls("scontrol") == []
    check_next_run(cluster)


def test_a_refusal_of_the_first_job_leaves_nothing_behind(cluster: Cluster) -> None:
    result = cluster.submit(FAKE_SLURM_AT="1", FAKE_SLURM_FAULT="refuse")
    assert result.returncode == 1
    assert "No job of this study is queued" in result.stderr


@pytest.mark.parametrize("how", ["kill-before", "kill-after"])
@pytest.mark.parametrize("nth", range(1, 7))
def test_a_submission_killed_at_any_sbatch_is_finished_by_the_next(cluster: Cluster, how: str, nth: int) -> None:
    assert cluster.submit(FAKE_SLURM_AT=str(nth), FAKE_SLURM_FAULT=how).returncode == -signal.SIGKILL
    check_next_run(cluster)


def test_a_failed_release_is_made_up_for(cluster: Cluster) -> None:
    result = cluster.submit(FAKE_SLURM_FAULT="release")
    assert result.returncode == 4
    assert "could not release" in result.stderr
    check_next_run(cluster)


def check_next_run(cluster: Cluster) -> None:
    """A second run, without faults, leaves each job queued exactly once, on nothing but its parents."""
    result = cluster.submit()
    assert result.returncode == 0, result.stderr
    assert Counter(job.name for job in cluster.queued()) == {cluster.tree.name(job): 1 for job in ORDER}
    assert not any(job.held for job in cluster.queued())
    parents = ids(cluster, ["build/a", "build/b"])
    assert cluster.jobs()["train/x"].waits == dict.fromkeys(parents, "afterok")
    recorded = {job for event, job in cluster.tree.events() if event == "submitted"}
    assert recorded == set(ORDER)


def test_a_torn_last_line_of_the_ledger_is_left_alone(cluster: Cluster) -> None:
    cluster.submit()
    ledger = cluster.tree.store / "ledger/toy.tsv"
    ledger.write_text(ledger.read_text() + "2026-01-31T12:00:00Z\tinte")
    cluster.fail("prepare/b")
    cluster.submit()
    assert [line for line in ledger.read_text().splitlines() if line.count("\t") != 5] == ["2026-01-31T12:00:00Z\tinte"]


def test_two_submissions_at_a_time_are_refused(cluster: Cluster) -> None:
    lock = cluster.tree.store / "ledger/toy.lock.1"
    lock.parent.mkdir(parents=True)
    host = subprocess.run(["bash", "-c", "echo $HOSTNAME"], capture_output=True, text=True, check=True).stdout.strip()
    lock.write_text(f"{host} {os.getpid()}\n")
    result = cluster.submit()
    assert result.returncode == 1
    assert f"process {os.getpid()} on {host} is submitting toy right now" in result.stderr
    assert cluster.calls("sbatch") == []


def test_the_lock_of_a_killed_submission_is_taken_over_and_given_back(cluster: Cluster) -> None:
    cluster.submit(FAKE_SLURM_AT="1", FAKE_SLURM_FAULT="kill-before")
    assert locks(cluster) == ["toy.lock.1"]
    assert cluster.submit().returncode == 0
    assert locks(cluster) == []


def locks(cluster: Cluster) -> list[str]:
    return sorted(path.name for path in (cluster.tree.store / "ledger").glob("*.lock*"))


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
    result = cluster.submit("--dry-run", FAKE_SLURM_FAULT="squeue")
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 6
    assert "as if nothing were" in result.stderr


def test_without_slurm_the_message_says_where_to_go(cluster: Cluster) -> None:
    result = cluster.submit(PATH=str(cluster.tools))
    assert result.returncode == 1
    assert "login node" in result.stderr


def test_when_slurm_cannot_be_asked_nothing_is_submitted(cluster: Cluster) -> None:
    result = cluster.submit(FAKE_SLURM_FAULT="squeue")
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
        ("submit train/y 1234 build/a", "'build/a' stands before in, links, steps, after or ended"),
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
    result = tree.submit(environment={"PATH": str(make_tools(tmp_path))})
    assert result.stderr == "nothing to do: 6 jobs are done\n", "and no Python was started"
