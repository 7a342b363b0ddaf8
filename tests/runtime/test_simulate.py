"""`simulate`: what would become of a study's own scripts on a cluster whose jobs fail."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.__main__ import main
from runtime.operations import status
from runtime.simulate.cluster import Cluster, submit
from runtime.simulate.slurm import Call, Queue
from tests.compiler.project import BIN, Project
from tests.tree import REPOSITORY, Tree

ENDS = ["FAILED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED", "CANCELLED"]
KILL = "kill_on_invalid_dep=yes"


def play(tree: Tree, *options: str) -> tuple[int, str, str]:
    """Simulate a tree's study: exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["simulate", str(tree.generated / "plan.json"), *options])
    return code, out.getvalue(), err.getvalue()


def played(tree: Tree, *options: str) -> tuple[int, dict[str, Any]]:
    code, out, err = play(tree, *options, "--json")
    assert err == ""
    return code, json.loads(out)


def refused(tree: Tree, *options: str) -> str:
    code, out, err = play(tree, *options)
    assert (code, out) == (1, "")
    return err.strip()


def ends(found: Mapping[str, Any], *states: str) -> dict[str, str]:
    return {job["job"]: job["reason"] for job in found["jobs"] if job["state"] in states}


def make_tree(root: Path, switches: str = "", requeue: bool = False, lines: Sequence[str] = ()) -> Tree:
    """Two domains prepared and built, a training on both, a report that waits for the training, however it ends."""
    tree = Tree(root, executor="slurm")
    tree.add("prepare/a")
    tree.add("prepare/b")
    tree.add("build/a", after=["prepare/a"])
    tree.add("build/b", after=["prepare/b"])
    tree.add("train/x", after=["build/a", "build/b"], steps=[5, 10])
    tree.add("report/toy", after=["prepare/a"], ended=["train/x", "build/b"])
    tree.lines.extend(lines)
    if requeue:
        for script in (tree.generated / "jobs").rglob("*.sh"):
            script.write_text(script.read_text().replace("#SBATCH --time=5", "#SBATCH --requeue --time=5"))
    return tree.close(switches)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return make_tree(tmp_path / "a 'root'")


@pytest.fixture
def killing(tmp_path: Path) -> Tree:
    """The same on a cluster that cancels what can never start."""
    return make_tree(tmp_path / "root", KILL)


# ---- what becomes of the jobs -------------------------------------------------------------------------------------------


def test_without_failures_everything_is_done(tree: Tree) -> None:
    assert play(tree) == (
        0,
        "toy on a simulated Slurm: 6 of 6 jobs done\n"
        "  none submitted twice\n"
        "submit_all.sh, run again, submits nothing: all is done\n",
        "",
    )


@pytest.mark.parametrize("end", ENDS)
def test_what_needs_a_failed_job_is_left_hanging(tree: Tree, end: str) -> None:
    code, found = played(tree, f"--fail=build/b={end}")
    assert code == 3
    assert ends(found, "failed") == {"build/b": end}
    assert ends(found, "hanging") == {"train/x": "DependencyNeverSatisfied", "report/toy": "Dependency"}
    assert ends(found, "done").keys() == {"prepare/a", "prepare/b", "build/a"}
    assert found["counts"] == {"done": 3, "failed": 1, "incomplete": 0, "broken": 0, "cancelled": 0, "hanging": 2}


@pytest.mark.parametrize("end", ENDS)
def test_a_cluster_may_cancel_it_so_that_nothing_hangs_and_the_report_runs(killing: Tree, end: str) -> None:
    code, found = played(killing, f"--fail=prepare/b={end}")
    assert code == 0
    assert ends(found, "failed") == {"prepare/b": end}
    assert ends(found, "cancelled") == dict.fromkeys(["build/b", "train/x"], "DependencyNeverSatisfied")
    assert ends(found, "incomplete") == {"report/toy": "lacks 2 of 3 inputs"}


@pytest.mark.parametrize("end", ENDS)
def test_a_job_that_may_be_requeued_outlives_its_node(tmp_path: Path, end: str) -> None:
    code, found = played(make_tree(tmp_path / "root", requeue=True), f"--fail=build/b={end}")
    outlives = end in ("NODE_FAIL", "PREEMPTED")
    assert (code, ends(found, "failed")) == ((0, {}) if outlives else (3, {"build/b": end}))
    assert len(ends(found, "done")) == (6 if outlives else 3)


def test_it_says_what_the_second_submission_would_do(tree: Tree, killing: Tree) -> None:
    """Where jobs hang they get new parents; where they were cancelled, and for reports that lack something, new jobs go in."""
    failure = "--fail=build/b=FAILED"
    assert played(tree, failure)[1]["again"] == {"submitted": ["build/b"], "left": []}
    assert played(killing, failure)[1]["again"] == {"submitted": ["build/b", "train/x", "report/toy"], "left": []}


def test_the_text_names_what_did_not_run_and_why(killing: Tree) -> None:
    assert play(killing, "--fail=build/?=TIMEOUT")[1].splitlines() == [
        "toy on a simulated Slurm: 2 of 6 jobs done",
        "  2 failed (as told)",
        "    build/a: TIMEOUT",
        "    build/b: TIMEOUT",
        "  1 incomplete (ran, lacking what did not)",
        "    report/toy: lacks 2 of 3 inputs",
        "  1 cancelled (never run: taken out of the queue by Slurm, as a job that they need failed)",
        "    train/x: DependencyNeverSatisfied",
        "  none submitted twice",
        "submit_all.sh, run again, submits 4",
        *["    build/a", "    build/b", "    train/x", "    report/toy"],
        "  after which all is done",
    ]


def test_long_lists_are_cut_short_in_the_text_alone(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root", executor="slurm")
    for number in range(12):
        tree.add(f"prepare/{number}")
    assert play(tree.close(), "--fail=*=TIMEOUT")[1].count("    and 2 more; --json lists them\n") == 2
    assert len(played(tree, "--fail=*=TIMEOUT")[1]["again"]["submitted"]) == 12


def test_nothing_is_written_but_a_temporary_store(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETHE_STORE", str(tmp_path / "real"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    before = {path: path.stat().st_mtime_ns for path in tree.root.rglob("*")}
    assert play(tree, "--fail=*=FAILED")[0] == 3
    assert {path: path.stat().st_mtime_ns for path in tree.root.rglob("*")} == before
    assert not (tmp_path / "real").exists()
    assert list((tmp_path / "temporary").iterdir()) == []


# ---- broken studies -----------------------------------------------------------------------------------------------------


def test_a_job_that_starts_before_its_input_is_there_is_found(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "root")
    tree.lines[3] = tree.lines[3].replace(" after prepare/b", "")
    code, found = played(tree.close())
    assert code == 3
    assert "prepare/b is not done" in ends(found, "broken")["build/b"]


def test_a_job_that_is_never_submitted_is_found(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "root")
    tree.lines.pop()
    code, found = played(tree.close())
    assert (code, ends(found, "broken")) == (3, {"report/toy": "submit_all.sh does not submit it"})
    assert found["again"] == {"submitted": [], "left": ["report/toy"]}
    assert play(tree)[1].endswith("submits 0\n  1 jobs are not done even then\n    report/toy\n")


def test_a_submission_that_does_not_look_at_the_queue_is_found(tmp_path: Path) -> None:
    forgetful = make_tree(tmp_path / "root", lines=["is_active() { return 1; }"])
    code, found = played(forgetful, "--kill-submitter=3")
    assert (code, found["submitted_twice"]) == (3, ["prepare/a", "prepare/b", "build/a"])


def test_logs_without_a_folder_are_found(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "root", lines=['open_ledger() { mkdir -p -- "$store/ledger"; }'])
    code, found = played(tree)
    assert code == 3
    assert ends(found, "broken")["prepare/a"].startswith("Slurm cannot open its log: there is no folder")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("#!/bin/bash\n", "", ":1: sbatch refuses a script without #!"),
        ("--time=5", "--tiem=5", ":3: sbatch refuses this directive: unknown option --tiem=5"),
        ("--time=5", "--time=5h", ":3: sbatch refuses this directive: no time: 5h"),
        ("--time=5", "--comment='", ":3: sbatch refuses this directive: No closing quotation"),
        ("unset SLURM", "#SBATCH --mem=1\nunset SLURM", ":5: sbatch does not read a directive after the first command"),
        ("set -euo", "if true; set -euo", "syntax error"),
    ],
)
def test_scripts_that_sbatch_or_bash_would_not_take_are_named(tree: Tree, old: str, new: str, said: str) -> None:
    script = tree.generated / "jobs/train/x.sh"
    script.write_text(script.read_text().replace(old, new, 1))
    message = refused(tree)
    assert said in message and "jobs/train/x.sh" in message


def test_many_bad_scripts_are_counted(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root", executor="slurm")
    for number in range(12):
        tree.add(f"prepare/{number}", body="if")
    lines = refused(tree.close()).splitlines()
    assert (len(lines), lines[-1]) == (11, "and 2 more")


def test_a_tree_edited_by_hand_is_refused_in_submit_alls_own_words(tree: Tree) -> None:
    (tree.generated / "configs/train/x.yaml").write_text("lr: 1\n")
    message = refused(tree)
    assert "submit_all.sh ended with exit code 1" in message and "configs/train/x.yaml: FAILED" in message
    message = refused(tree, "--kill-submitter=1")
    assert "submit_all.sh ended before sbatch number 1" in message and "configs/train/x.yaml: FAILED" in message


def test_a_script_that_is_missing_is_named(tree: Tree) -> None:
    (tree.generated / "jobs/train/x.sh").unlink()
    assert "jobs/train/x.sh: No such file or directory; compile the study again" in refused(tree)


# ---- failures, named and drawn ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--fail=train/y=FAILED"], "--fail train/y=FAILED: no job is named so; near it: train/x"),
        (["--fail=*x/*=FAILED"], "no job is named so; lethe ls lists them"),
        (["--fail=train/x"], "it is JOB=END, with END one of FAILED, TIMEOUT, "),
        (["--fail=train/x=BURNT"], "--fail train/x=BURNT: it is JOB=END"),
        (["--random=5"], "--random 5: a probability lies between 0 and 1"),
        (["--kill-submitter=7"], "--kill-submitter 7: toy has 6 jobs; say 1 to 6"),
        (["--kill-submitter=0"], "say 1 to 6"),
    ],
)
def test_mistakes_are_told(tree: Tree, options: list[str], said: str) -> None:
    assert said in refused(tree, *options)


def test_a_later_name_goes_before_an_earlier_one_and_both_before_the_lot(tree: Tree) -> None:
    found = played(tree, "--random=1", "--fail=prepare/*=TIMEOUT", "--fail=prepare/b=CANCELLED")[1]
    assert ends(found, "failed") == {"prepare/a": "TIMEOUT", "prepare/b": "CANCELLED"}


def test_the_same_seed_draws_the_same_failures(tree: Tree) -> None:
    def draw(seed: int) -> dict[str, str]:
        return ends(played(tree, "--random=0.5", f"--seed={seed}")[1], "failed")

    drawn = [draw(seed) for seed in range(4)]
    assert drawn[0] == draw(0)
    assert any(other != drawn[0] for other in drawn[1:])
    assert played(tree, "--random=0")[0] == 0


def test_a_study_without_slurm_has_nothing_to_simulate(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root", executor="local")
    tree.add("prepare/a")
    assert "toy runs on this machine, without Slurm" in refused(tree.close())


@pytest.mark.parametrize(("content", "said"), [("{", "not a plan"), ("[]", "not a plan"), (None, "cannot read this plan")])
def test_what_is_no_plan_is_said_to_be_none(tree: Tree, content: str | None, said: str) -> None:
    plan = tree.generated / "plan.json"
    plan.unlink() if content is None else plan.write_text(content)
    assert said in refused(tree)


# ---- invariants ---------------------------------------------------------------------------------------------------------


Shape = list[tuple[list[int], list[int]]]


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """For each job, those before it that must succeed, and those that must only end."""
    shape: Shape = []
    for number in range(draw(st.integers(1, 9))):
        chosen = draw(st.lists(st.sampled_from(range(number)), unique=True, max_size=3)) if number else []
        cut = draw(st.integers(0, len(chosen)))
        shape.append((chosen[:cut], chosen[cut:]))
    return shape


def grown(root: str, shape: Shape, switches: str) -> Tree:
    tree = Tree(Path(root) / "root", executor="slurm")
    for number, (after, ended) in enumerate(shape):
        tree.add(f"train/{number}", after=[f"train/{n}" for n in after], ended=[f"train/{n}" for n in ended])
    return tree.close(switches)


def foretold(shape: Shape, failing: set[int], kills: bool) -> list[str]:
    """How each job should end, from its parents' ends alone."""
    found: list[str] = []
    for number, (after, ended) in enumerate(shape):
        if any(found[n] == "hanging" for n in [*after, *ended]) and not (kills and any(bad(found[n]) for n in after)):
            found.append("hanging")
        elif any(bad(found[n]) for n in after):
            found.append("cancelled" if kills else "hanging")
        elif number in failing:
            found.append("failed")
        else:
            found.append("incomplete" if any(bad(found[n]) for n in ended) else "done")
    return found


def bad(end: str) -> bool:
    return end in ("failed", "incomplete", "cancelled")


@settings(max_examples=25)
@given(shape=shapes(), failing=st.sets(st.integers(0, 8)), kills=st.booleans())
def test_every_job_ends_as_its_parents_ends_have_it(shape: Shape, failing: set[int], kills: bool) -> None:
    failing = {number for number in failing if number < len(shape)}
    with tempfile.TemporaryDirectory() as folder:
        tree = grown(folder, shape, KILL if kills else "")
        code, found = played(tree, *(f"--fail=train/{number}=FAILED" for number in failing))
    expected = foretold(shape, failing, kills)
    assert [job["state"] for job in found["jobs"]] == expected
    assert code == (3 if "hanging" in expected else 0)
    assert (found["submitted_twice"], found["again"]["left"]) == ([], [])


@settings(max_examples=20)
@given(shape=shapes(), at=st.integers(1, 9), how=st.sampled_from(["kill-before", "kill-after", "lost", "refuse"]))
def test_wherever_a_submission_breaks_off_each_job_goes_in_once(shape: Shape, at: int, how: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree, cluster = grown(folder, shape, ""), Cluster.make(Path(folder) / "slurm")
        script = tree.generated / "submit_all.sh"
        submit(cluster, script, tree.store, {"FAKE_SLURM_AT": str(at), "FAKE_SLURM_FAULT": how})
        assert cluster.queue.ready() == [] or at > len(shape) or how == "lost", "nothing starts before all is in"
        assert submit(cluster, script, tree.store, {}).returncode == 0
        names = Counter(job.name for job in cluster.queue.jobs.values())
        assert names == {tree.name(job): 1 for job in tree.jobs}
        assert not any(job.held for job in cluster.queue.jobs.values())


@pytest.mark.parametrize("number", range(1, 7))
def test_a_killed_submission_changes_nothing_of_the_outcome(killing: Tree, number: int) -> None:
    failure = "--fail=build/b=FAILED"
    assert played(killing, failure, f"--kill-submitter={number}") == played(killing, failure)


@pytest.mark.slow
def test_two_thousand_jobs(tmp_path: Path) -> None:
    """Trainings with three evaluations each, and one report over all of them: in much less than a minute."""
    tree = Tree(tmp_path / "root", executor="slurm")
    trained = [tree.add(f"train/{number}") for number in range(500)]
    scores = [tree.add(f"evaluate/{name[6:]}.{suite}", after=[name]) for name in trained for suite in "abc"]
    tree.add("report/toy", ended=scores)
    code, found = played(tree.close(KILL), "--fail=train/*7=FAILED", "--kill-submitter=1234")
    assert code == 0
    assert found["counts"] == {"done": 1800, "failed": 50, "incomplete": 1, "broken": 0, "cancelled": 150, "hanging": 0}
    assert (found["submitted_twice"], len(found["again"]["submitted"]), found["again"]["left"]) == ([], 201, [])


# ---- the pretended Slurm ------------------------------------------------------------------------------------------------


def test_no_other_program_of_slurm_is_reached(tmp_path: Path) -> None:
    cluster = Cluster.make(tmp_path / "slurm")
    for program in ("sinfo", "sacct", "srun"):
        result = subprocess.run([str(cluster.folder / "bin" / program), "-V"], capture_output=True, text=True, check=False)
        assert result.returncode == 1 and "sbatch, scancel, scontrol and squeue only" in result.stderr


def test_the_pretended_programs_are_clean_under_shellcheck() -> None:
    programs = sorted((REPOSITORY / "runtime/simulate/fake").iterdir())
    assert [program.name for program in programs] == ["refuse", "sbatch", "scancel", "scontrol", "squeue", "step", "sync"]
    command = [str(BIN / "shellcheck"), "--severity=style", "--external-sources", *map(str, programs)]
    assert subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False).stdout == ""


def test_status_sees_what_hangs_there(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster.make(tmp_path / "slurm")
    submit(cluster, tree.generated / "submit_all.sh", tree.store, {})
    cluster.queue.end(2, "TIMEOUT", "TimeLimit")
    cluster.save()
    monkeypatch.setenv("PATH", cluster.environment("/usr/bin:/bin")["PATH"])
    monkeypatch.setenv("FAKE_SLURM", str(cluster.folder))
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        status.show(tree.generated / "plan.json", tree.store, as_json=True)
    found = {job["job"]: (job["state"], job["reason"]) for job in json.loads(shown.getvalue())["jobs"]}
    assert found["prepare/a"] == ("queued", "Priority")
    assert found["prepare/b"] == ("failed", "TIMEOUT, TimeLimit")
    why = "prepare/b failed; submit_all.sh gives it new parents"
    assert found["build/b"] == ("upstream", why)
    assert found["train/x"] == ("upstream", why)


def sent(number: int, *more: str) -> Call:
    options = (f"--job-name=job{number}", "--comment=/store", "--output=/store/log", *more, f"jobs/{number}.sh")
    return Call("sbatch", number, options)


def test_a_job_whose_parent_has_failed_already_is_settled_on_arrival() -> None:
    queue = Queue()
    queue.take(sent(1))
    queue.end(1, "FAILED", "NonZeroExitCode")
    queue.take(sent(2, "--dependency=afterok:1"))
    queue.take(sent(3, "--dependency=afterok:1", "--kill-on-invalid-dep=yes"))
    queue.take(sent(4, "--dependency=afterany:1"))
    states = {job.id: (job.state, job.reason) for job in queue.jobs.values()}
    assert states[2] == ("PENDING", "DependencyNeverSatisfied")
    assert states[3] == ("CANCELLED", "DependencyNeverSatisfied")
    assert [job.id for job in queue.ready()] == [4]


def test_a_dependency_on_a_job_that_slurm_has_not_is_refused(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "root", lines=["find_dependency() { dependency=afterok:99; }"])
    assert "it is to wait for job 99, which Slurm does not know" in refused(tree)


def test_lethe_hands_the_study_over(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project")
    project.edit("toy.yaml", "cluster: here", "cluster: gres_site")
    project.compile()
    (project.root / "runtime").symlink_to(REPOSITORY / "runtime")
    words = ["simulate", "specs/toy.yaml", "--fail=train/on_rl_*=TIMEOUT", "--kill-submitter=9", "--json"]
    result = project.shell(
        sys.executable, "-m", "compiler.cli", *words, environment={"PYTHONPATH": str(REPOSITORY), "SCRATCH": str(tmp_path)}
    )
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert set(ends(found, "failed").values()) == {"TIMEOUT"}
    assert all(name.startswith("train/on_rl_") for name in ends(found, "failed"))
    assert (found["submitted_twice"], found["again"]["left"]) == ([], [])
