"""What befalls a study on a real Slurm: preemption, a dead node, a time limit, a full disk, a spec that changes on the way.

Every one ends with the training done, once, and with all that was to come after it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.slurm.conftest import HERE, PRIVATE
from tests.slurm.trained import TRAIN, Study
from tests.tree import Tree

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
SPEC = HERE / "faulty.yaml"
STEPS = 800
REPORT = "report/faulty"


@pytest.fixture
def study(slurm: Mapping[str, str], tmp_path: Path) -> Study:
    return Study(SPEC, tmp_path, slurm)


def altered(slurm: Mapping[str, str], folder: Path, **changes: str) -> Study:
    """The study, with words of its spec replaced; `changes` are old=new, with _ for what no keyword can have."""
    text = SPEC.read_text().replace("../../specs/", f"{HERE.parents[1]}/specs/")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    folder.mkdir(exist_ok=True)
    spec = folder.parent / "faulty.yaml"
    spec.write_text(text)
    return Study(spec, folder, slurm)


def all_done(study: Study) -> bool:
    return {item["state"] for item in study.status().values()} == {"done"}


def seconds(study: Study, number: str) -> int:
    """How long a job of Slurm's took, whole seconds; it was under a minute."""
    shown = study.call("squeue", "--noheader", "--states=all", f"--jobs={number}", "--format=%M").strip()
    assert shown.startswith("0:"), shown
    return int(shown.removeprefix("0:"))


def ended_early(study: Study) -> list[int | None]:
    return [attempt["exit_code"] for attempt in study.attempts()]


def test_preempted_twice_it_goes_on_from_its_checkpoint_each_time(study: Study) -> None:
    study.submit()
    for before in (0, 40):
        study.wait(lambda before=before: study.progress() > before + 40)
        urgent = ["sbatch", "--parsable", "--partition=main", "--nodes=2", "--ntasks=2", "--cpus-per-task=64", "--mem=100"]
        study.call(*urgent, "--output=/dev/null", "--wrap=sleep 1")
        attempts = len(study.attempts())
        study.wait(lambda attempts=attempts: len(study.attempts()) > attempts)
    study.wait_until_done()
    assert study.facts()["steps"] == STEPS
    tried = study.attempts()
    assert [one["restarts"] for one in tried] == [0, 1, 2]
    assert {one["exit_code"] for one in tried[:2]} <= {None, 75}  # as far as it was left the time to save
    assert len({one["slurm"] for one in tried}) == 1  # one job of Slurm's all the time
    study.wait(lambda: all_done(study))


def test_when_its_node_dies_it_goes_on_elsewhere(study: Study) -> None:
    study.submit()
    study.wait(lambda: study.progress() > 40)
    [job] = study.trainings()
    kill_node(job.nodes)
    try:
        study.wait(lambda: len(study.attempts()) > 1)
        [again] = study.trainings()
        assert (again.id, again.nodes) == (job.id, "node2" if job.nodes == "node1" else "node1")
        study.wait_until_done()
    finally:
        study.call(str(HERE / "start-slurm.sh"))  # starts what is missing
    assert study.facts()["steps"] == STEPS
    assert [(one["restarts"], one["exit_code"]) for one in study.attempts()] == [(0, None), (1, 0)]
    study.wait(lambda: all_done(study))


def kill_node(name: str) -> None:
    """Kill everything of a virtual node: its daemon, and what it runs."""
    daemon = int((PRIVATE / f"run/slurmd.{name}.pid").read_text())
    steps = subprocess.run(["pgrep", "-f", f"slurmstepd.*{name}|slurmstepd: \\["], capture_output=True, text=True, check=False)
    children = [int(pid) for step in steps.stdout.split() for pid in descendants(int(step))]
    for pid in (daemon, *map(int, steps.stdout.split()), *children):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def descendants(pid: int) -> Iterator[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    for child in map(int, found.stdout.split()):
        yield from descendants(child)
        yield child


def test_beyond_its_time_limit_its_next_link_goes_on_and_the_last_ones_end_at_once(
    slurm: Mapping[str, str], tmp_path: Path
) -> None:
    """A time limit of a minute, which Slurm itself enforces, and no requeue."""
    limited = {
        "restarts: {requeue: true, attempts: 8, notice: 15}": "restarts: {requeue: false, links: 8, notice: 15}",
        'train: {partition: scavenge, time: "0:30:00", cpus: 64': 'train: {partition: main, time: "0:01:00", cpus: 1',
        "steps: 800": "steps: 3000",
    }
    study = altered(slurm, tmp_path / "root", **limited)
    study.submit()
    assert len(study.trainings()) == 8
    study.wait_until_done()
    codes = ended_early(study)
    assert len(codes) > 1 and codes == [75] * (len(codes) - 1) + [0], study.logs()
    assert study.facts()["steps"] == 3000
    study.wait(lambda: all_done(study))
    unused = study.trainings()[len(codes) :]
    assert {seen.state for seen in unused} == {"COMPLETED"} and max(seconds(study, seen.id) for seen in unused) <= 5


def test_a_job_that_hears_nothing_is_ended_at_its_limit_and_nothing_comes_of_it(
    slurm: Mapping[str, str], tmp_path: Path
) -> None:
    tree = Tree(tmp_path / "root", executor="slurm")
    tree.add("train/x", body='trap "" USR1; [ -e "$LETHE_STORE/mended" ] || { sleep 200 & wait $!; wait $!; }')
    tree.add("evaluate/x", after=["train/x"])
    environment = {**slurm, "LETHE_STORE": str(tree.store)}
    tree.close()
    script = tree.generated / "jobs/train/x.sh"
    script.write_text(script.read_text().replace("--time=5", "--time=1"))
    tree.seal()
    assert tree.submit("--yes", environment=environment).returncode == 0
    wait_for(tree, environment, {"train/x": "failed", "evaluate/x": "upstream"})
    assert "TIMEOUT" in shown(tree, environment)["train/x"][1]
    (tree.store / "mended").touch()
    again = tree.submit("--yes", environment=environment)
    assert "1 jobs submitted, 1 already queued or running" in again.stderr
    wait_for(tree, environment, {"train/x": "done", "evaluate/x": "done"})


def shown(tree: Tree, environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """State and reason of each job."""
    command = [sys.executable, "-m", "runtime", "status", "generated/toy/plan.json", "--json"]
    said = subprocess.run(
        command, cwd=tree.root, env=tree.environment(environment), capture_output=True, text=True, check=False
    )
    return {job["job"]: (job["state"], job["reason"]) for job in json.loads(said.stdout)["jobs"]}


def wait_for(tree: Tree, environment: Mapping[str, str], states: Mapping[str, str]) -> None:
    end = time.monotonic() + 300
    while {job: state for job, (state, _) in shown(tree, environment).items()} != states:
        assert time.monotonic() < end, shown(tree, environment)
        time.sleep(0.5)


def test_a_full_disk_fails_the_training_with_a_code_of_its_own_and_room_mends_it(study: Study) -> None:
    study.out.mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(study.out)], check=False).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        study.submit()
        study.wait(lambda: study.status()[TRAIN]["state"] == "failed")
        assert ended_early(study) == [74] or "No space left" in study.logs()
        assert "disk" in study.lethe_may_fail("triage", str(SPEC))
        assert study.status()["evaluate/gt_sft_math_base_micro.math"]["state"] == "upstream"
    finally:
        subprocess.run(["umount", str(study.out)], check=True)
    study.submit()
    study.wait(lambda: all_done(study))
    assert study.facts()["steps"] == STEPS


def test_what_the_spec_says_now_is_made_and_what_it_said_before_is_left_alone(slurm: Mapping[str, str], tmp_path: Path) -> None:
    study = altered(slurm, tmp_path / "root")
    study.submit()
    study.wait(lambda: study.progress() > 20)
    before = study.out
    [job] = study.trainings()
    study.call("scancel", job.id)
    study.wait(lambda: study.trainings()[0].state == "CANCELLED")
    time.sleep(3)  # a training that hears of it saves, and must not go in again by itself
    assert [seen.state for seen in study.trainings()] == ["CANCELLED"]
    study.spec.write_text(study.spec.read_text().replace("steps: 800", "steps: 40"))
    study.lethe("compile", str(study.spec))
    assert study.out != before
    study.submit()
    study.wait(lambda: all_done(study))
    assert study.facts()["steps"] == 40 and not (before / "DONE.json").exists()
    lines = [line.split("\t") for line in (study.store / "ledger/faulty.tsv").read_text().splitlines()]
    submitted = Counter((line[2], line[3]) for line in lines if line[1] == "submitted")
    assert set(submitted.values()) == {1}  # the data and the start were not made again


def test_a_parent_that_slurm_has_forgotten_is_never_asked_for(slurm: Mapping[str, str], tmp_path: Path) -> None:
    """Its done-marker counts. One that failed and is forgotten goes in again with what needs it."""
    tree = Tree(tmp_path / "root", executor="slurm")
    tree.add("prepare/good")
    tree.add("prepare/bad", body='[ -e "$LETHE_STORE/mended" ]')
    tree.add("train/x", after=["prepare/good", "prepare/bad"])
    tree.close()
    environment = {**slurm, "LETHE_STORE": str(tree.store)}
    assert tree.submit("--yes", "--select=prepare/*", environment=environment).returncode == 0
    wait_for(tree, environment, {"prepare/good": "done", "prepare/bad": "failed", "train/x": "never"})
    forget(environment, tree)
    (tree.store / "mended").touch()
    again = tree.submit("--yes", environment=environment)
    assert "2 jobs submitted, 0 already queued or running, 1 done, of 3" in again.stderr
    wait_for(tree, environment, dict.fromkeys(tree.jobs, "done"))


def forget(environment: Mapping[str, str], tree: Tree) -> None:
    """Have Slurm forget what has ended, for a while."""
    conf = Path(environment["SLURM_CONF"])
    text = conf.read_text()

    def call(*command: str) -> str:
        return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True).stdout

    try:
        conf.write_text(text.replace("MinJobAge=86400", "MinJobAge=2"))
        call("scontrol", "reconfigure")
        end = time.monotonic() + 200
        while str(tree.store) in call("squeue", "--noheader", "--states=all", "--format=%k"):
            assert time.monotonic() < end
            time.sleep(1)
    finally:
        conf.write_text(text)
        call("scontrol", "reconfigure")


def test_two_people_submit_one_plan_and_each_job_goes_in_once(slurm: Mapping[str, str], tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root", executor="slurm")
    first = [tree.add(f"prepare/{letter}") for letter in "abcdef"]
    tree.add("train/x", after=first)
    tree.close()
    environment = tree.environment({**slurm, "LETHE_STORE": str(tree.store)})
    command = ["bash", str(tree.generated / "submit_all.sh"), "--yes"]
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    assert 0 in [process.returncode for process in both], said
    if 1 in [process.returncode for process in both]:
        assert "is submitting toy right now" in "".join(said)
    wait_for(tree, {**slurm, "LETHE_STORE": str(tree.store)}, dict.fromkeys(tree.jobs, "done"))
    assert Counter(job for event, job in tree.events() if event == "submitted") == dict.fromkeys(tree.jobs, 1)
