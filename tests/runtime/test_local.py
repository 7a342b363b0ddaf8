"""The local executor: order, width, failures, what it shows, how it stops."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import JobError
from runtime.local.display import clock, status_line
from runtime.local.executor import Task, jobs_at_a_time, read_tasks, verdict
from tests.tree import MAKE_TRACES, Tree

COLD = {"LETHE_COLD": "1"}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "a 'root'")


def chain(tree: Tree, body: str = MAKE_TRACES) -> Tree:
    tree.add("prepare/a")
    tree.add("build/a", after=["prepare/a"], body=body)
    tree.add("train/x", after=["build/a"])
    tree.add("prepare/b")
    tree.add("report/toy", ended=["train/x", "prepare/b"])
    return tree.close()


# ---- a whole run --------------------------------------------------------------------------------------------------------


def test_every_job_runs_after_those_it_needs(tree: Tree) -> None:
    result = chain(tree).submit(environment=COLD)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"toy: all 5 jobs are done, in \d", result.stdout)
    events = tree.events()
    order = [events.index(item) for item in (("done", "prepare/a"), ("started", "build/a"), ("done", "build/a"))]
    assert order == sorted(order)
    assert events[-1] == ("done", "report/toy")


def test_each_job_that_ends_is_a_plain_line_in_a_log(tree: Tree) -> None:
    result = chain(tree).submit(environment=COLD)
    counts = [line.split()[0] for line in result.stdout.splitlines() if ": done in" in line]
    assert counts == ["1/5", "2/5", "3/5", "4/5", "5/5"]
    assert "\033" not in result.stdout


def test_a_second_run_does_nothing_and_says_so_at_once(tree: Tree) -> None:
    chain(tree).submit(environment=COLD)
    events = tree.events()
    start = time.monotonic()
    result = tree.submit()
    assert (result.returncode, result.stderr) == (0, "nothing to do: 5 jobs are done\n")
    assert time.monotonic() - start < 1
    assert tree.events() == events


def test_only_what_is_missing_runs_again(tree: Tree) -> None:
    chain(tree).submit(environment=COLD)
    tree.forget("train/x")
    before = len(tree.events())
    result = tree.submit(environment=COLD)
    assert "5/5 train/x: done" in result.stdout
    assert tree.events()[before:] == [("started", "train/x"), ("done", "train/x")]


def test_as_many_scripts_run_at_a_time_as_asked(tree: Tree) -> None:
    body = f'{MAKE_TRACES}; echo + >> "$LETHE_STORE/width"; sleep 0.3; echo - >> "$LETHE_STORE/width"'
    for name in "abcdef":
        tree.add(f"prepare/{name}", body=body)
    tree.close().submit(environment={**COLD, "LETHE_JOBS": "3"})
    depth = [0]
    for sign in (tree.store / "width").read_text().split():
        depth.append(depth[-1] + (1 if sign == "+" else -1))
    assert max(depth) == 3


# ---- failures -----------------------------------------------------------------------------------------------------------


def test_a_failure_is_explained_and_takes_along_only_what_needs_it(tree: Tree) -> None:
    result = chain(tree, body="seq 100; echo the disk is full >&2; exit 1").submit(environment=COLD)
    assert result.returncode == 1
    assert "failed: build/a: exit code 1\n" in result.stdout
    assert "    the disk is full\n" in result.stdout
    assert "    100\n" in result.stdout
    assert "    50\n" not in result.stdout
    assert f"    log: {tree.log('build/a')}\n" in result.stdout
    assert "toy: 3 of 5 jobs are done, 1 failed, 1 skipped because they need one that failed." in result.stdout
    assert ("started", "train/x") not in tree.events()
    assert ("done", "report/toy") in tree.events()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("exit 3", "exit code 3: some results are missing"),
        ("exit 65", "exit code 65: an input is missing or not what it was compiled against"),
        ("exit 75", "exit code 75: ended early; it goes on from its checkpoint when run again"),
        ("kill -SEGV $$", "ended by SIGSEGV"),
        ("bash -c 'kill -9 $$'", "ended by SIGKILL (out of memory?)"),
        ("exit 0", "exit code 0, but no done-marker in"),
    ],
)
def test_why_a_job_failed_is_put_in_words(tree: Tree, body: str, why: str) -> None:
    tree.add("train/x", body=body)
    result = tree.close().submit(environment=COLD)
    assert f"failed: train/x: {why}" in result.stdout


def test_what_failed_runs_again_and_only_its_new_output_is_shown(tree: Tree) -> None:
    tree.add("train/x", body="echo attempt; exit 1")
    tree.close().submit(environment=COLD)
    result = tree.submit(environment=COLD)
    assert result.stdout.count("    attempt\n") == 1
    assert tree.log("train/x").read_text() == "attempt\nattempt\n"


def test_the_ledger_says_why(tree: Tree) -> None:
    tree.add("train/x", body="exit 4")
    tree.close().submit(environment=COLD)
    assert (tree.store / "ledger/toy.tsv").read_text().splitlines()[-1].endswith("\texit code 4")


# ---- stopping -------------------------------------------------------------------------------------------------------------


def start(tree: Tree, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", str(tree.generated / "submit_all.sh")],
        env=tree.environment({**COLD, **more}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(path: Path) -> str:
    """The content of a file, once it is there and not empty."""
    for _ in range(500):
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.02)
    raise AssertionError(f"{path} did not appear")


def is_alive(process: int) -> bool:
    path = Path(f"/proc/{process}/stat")
    return path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_every_script_and_says_how_to_go_on(tree: Tree, number: signal.Signals) -> None:
    tree.add("prepare/a")
    tree.add("train/x", after=["prepare/a"], body='sleep 60 & echo $! > "$LETHE_STORE/child"; wait')
    process = start(tree.close())
    child = int(wait_for(tree.store / "child"))
    process.send_signal(number)
    shown = process.communicate(timeout=20)[0]
    assert process.returncode == 130
    assert "stopped; 1 of 2 jobs are done. Run submit_all.sh again to go on from here." in shown
    assert not is_alive(child)
    assert tree.events()[-1] == ("failed", "train/x")


def test_a_job_that_will_not_stop_is_killed_when_asked_twice(tree: Tree) -> None:
    tree.add("train/x", body='trap "" TERM; echo $$ > "$LETHE_STORE/child"; while true; do sleep 0.1; done')
    process = start(tree.close())
    child = int(wait_for(tree.store / "child"))
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert is_alive(child)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert not is_alive(child)


def test_a_study_is_not_run_twice_at_a_time(tree: Tree) -> None:
    chain(tree)
    lock = tree.store / "ledger/toy.local.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result = tree.submit(environment=COLD)
    assert result.returncode == 1
    assert "toy is being run in" in result.stderr
    assert tree.events() == []


# ---- what is shown ------------------------------------------------------------------------------------------------------


def on_a_terminal(tree: Tree, **more: str) -> str:
    leader, follower = pty.openpty()
    environment = tree.environment({**COLD, "TERM": "xterm", "COLUMNS": "100", **more})
    command = ["bash", str(tree.generated / "submit_all.sh")]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=follower, stderr=follower)
    os.close(follower)
    shown = b""
    while process.poll() is None or b"toy: " not in shown:
        try:
            shown += os.read(leader, 4096)
        except OSError:  # how Linux says that nobody has the other side open any more
            break
    os.close(leader)
    process.wait()
    return shown.decode()


def progress(done: int) -> str:
    text = json.dumps({"done": done, "total": 10})
    return f"{MAKE_TRACES}; echo '{text}' > \"$LETHE_OUT/PROGRESS.json\"; sleep 1.5"


def test_a_terminal_has_one_line_that_says_who_runs_how_far(tree: Tree) -> None:
    tree.add("train/x", body=progress(4))
    tree.add("train/y", body=progress(9))
    shown = on_a_terminal(tree.close(), LETHE_JOBS="2")
    assert re.search(r"\r\033\[K0/2 done  \d\.\d s  train/x 40%  train/y 90%", shown)
    assert "\033[32mtoy: all 2 jobs are done" in shown


def test_no_color_is_heeded(tree: Tree) -> None:
    tree.add("train/x")
    shown = on_a_terminal(tree.close(), NO_COLOR="1")
    assert "\033[32m" not in shown
    assert "toy: all 1 jobs are done" in shown


def test_progress_of_an_earlier_attempt_is_not_shown(tree: Tree) -> None:
    tree.add("train/x", body=f"{MAKE_TRACES}; sleep 0.8")
    tree.close()
    tree.out("train/x").mkdir(parents=True)
    old = tree.out("train/x") / "PROGRESS.json"
    old.write_text('{"done": 9, "total": 10}')
    os.utime(old, (0, 0))
    shown = on_a_terminal(tree)
    assert "train/x" in shown
    assert "90%" not in shown


@pytest.mark.parametrize(("seconds", "text"), [(8.24, "8.2 s"), (83, "1:23"), (7500, "2:05:00"), (59.99, "60.0 s")])
def test_durations_are_written_as_people_read_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_the_status_line_counts_failures() -> None:
    assert status_line(3, 9, 1, 5.0, [("a", None), ("b", 0.5)]) == "3/9 done, 1 failed  5.0 s  a  b 50%"


# ---- rules --------------------------------------------------------------------------------------------------------------

ENDS = st.sampled_from(["done", "failed", "skipped", None])


@given(after=st.lists(ENDS, max_size=4), ended=st.lists(ENDS, max_size=4))
def test_a_job_runs_when_all_it_needs_succeeded_and_all_it_awaits_ended(
    after: list[str | None], ended: list[str | None]
) -> None:
    parents = [f"a{number}" for number in range(len(after))], [f"e{number}" for number in range(len(ended))]
    ends = {
        name: end for names, given in zip(parents, (after, ended), strict=True) for name, end in zip(names, given, strict=True)
    }
    known = {name: end for name, end in ends.items() if end is not None}
    found = verdict(Task("x", "f", tuple(parents[0]), tuple(parents[1]), ()), known)
    doomed = any(end in ("failed", "skipped") for end in after)
    ready = all(end == "done" for end in after) and None not in ended
    assert found == ("skip" if doomed else "run" if ready else "wait")


def test_lethe_jobs_must_be_a_number() -> None:
    assert jobs_at_a_time({"LETHE_JOBS": "7"}) == 7
    assert jobs_at_a_time({}) >= 1
    for wrong in ("0", "many", "-1", ""):
        with pytest.raises(JobError, match="LETHE_JOBS is"):
            jobs_at_a_time({"LETHE_JOBS": wrong})


def test_a_list_that_is_none_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "toy.todo"
    path.write_text("train/x\tff\tprepare/a build/b\t\t\ntrain/y\n")
    with pytest.raises(JobError, match=r"toy\.todo:2: expected job, fingerprint, after, ended and steps"):
        read_tasks(path)
    path.write_text("train/x\tff\tprepare/a build/b\treport/z\t5 10\n")
    assert read_tasks(path) == [Task("train/x", "ff", ("prepare/a", "build/b"), ("report/z",), (5, 10))]
