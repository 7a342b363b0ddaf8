"""Launching: signals reach the program, what never ran is never done, and a Ray cluster lives as long as its command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from runtime.launch import ports
from runtime.launch.ray_node import arguments
from runtime.store import attempts, markers
from tests.tree import REPOSITORY, Tree

SECONDS = 60.0
# A program that says which signal it got, and ends with 7; or, with nothing said, that it ran, and ends well.
HEARS = """
import pathlib, signal, sys, time
said = pathlib.Path(sys.argv[1])
def hear(number, frame):
    said.write_text(signal.Signals(number).name)
    sys.exit(7)
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, hear)
said.with_suffix(".ready").touch()
time.sleep(60)
"""


def wait_for(path: Path) -> None:
    end = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.02)


def program(folder: Path, name: str, text: str) -> Path:
    """An executable script of that name."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "root")


def script(tree: Tree, job: str, launch: str, kind: str = "traces") -> Path:
    """A job's script, as it is generated, whose last line is `launch`."""
    tree.add(job, body=f"exec {launch}", bracket="none", output=kind)
    return tree.generated / "jobs" / f"{job}.sh"


def bash(tree: Tree, path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = tree.environment({"LETHE_STORE": str(tree.store), "LETHE_ROOT": str(tree.root), **more})
    return subprocess.run(["bash", str(path)], env=environment, capture_output=True, text=True, timeout=120, check=False)


# --- one program between begin and finish ------------------------------------------------------------------------------

MAKES = "bash -c 'echo {} > \"$LETHE_OUT/traces.jsonl\"'"


def test_a_job_by_another_program_is_done_with_the_time_it_took(tree: Tree) -> None:
    path = script(tree, "generate/x", f'python -m runtime launch "$LETHE_CONTRACT" {MAKES}')
    done = bash(tree, path)
    assert done.returncode == 0, done.stderr
    marker = markers.read(tree.out("generate/x"))
    assert marker is not None and marker.seconds is not None and marker.seconds > 0
    assert sorted(file.name for file in tree.out("generate/x").iterdir()) == ["DONE.json", "attempts", "traces.jsonl"]
    again = bash(tree, path)
    assert again.returncode == 0 and "already done" in again.stdout


@pytest.mark.parametrize(("command", "code"), [("bash -c 'exit 3'", 3), ("bash -c 'kill -9 $$'", 137), ("no-such-program", 1)])
def test_a_program_that_fails_is_a_job_that_failed(tree: Tree, command: str, code: int) -> None:
    done = bash(tree, script(tree, "generate/x", f'python -m runtime launch "$LETHE_CONTRACT" {command}'))
    assert done.returncode == code
    assert not (tree.out("generate/x") / "DONE.json").exists()


def test_a_program_that_made_nothing_is_no_result(tree: Tree) -> None:
    done = bash(tree, script(tree, "generate/x", 'python -m runtime launch "$LETHE_CONTRACT" true'))
    assert done.returncode == 1 and "ended without making traces.jsonl" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("how", ["launch", "child"])
def test_a_signal_to_the_batch_script_reaches_the_program(tree: Tree, tmp_path: Path, number: signal.Signals, how: str) -> None:
    said, hears = tmp_path / "said", tmp_path / "hears.py"
    hears.write_text(HEARS)
    start = {"launch": 'python -m runtime launch "$LETHE_CONTRACT"', "child": "python -m runtime.launch.child"}[how]
    path = script(tree, "generate/x", f"{start} {sys.executable} {hears} {said}")
    environment = tree.environment({"LETHE_STORE": str(tree.store), "LETHE_ROOT": str(tree.root)})
    process = subprocess.Popen(["bash", str(path)], env=environment)
    wait_for(said.with_suffix(".ready"))
    process.send_signal(number)
    assert process.wait(SECONDS) == 7
    assert said.read_text() == number.name
    assert not (tree.out("generate/x") / "DONE.json").exists()


@pytest.mark.parametrize(("number", "passed"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_srun_is_not_told_to_kill_its_tasks(tmp_path: Path, number: signal.Signals, passed: bool) -> None:
    """srun makes a SIGKILL of a SIGTERM, and Slurm tells a job's tasks itself when it ends the job."""
    said = tmp_path / "said"
    srun = program(tmp_path / "bin", "srun", f"#!{sys.executable}\n{HEARS}")
    process = subprocess.Popen([sys.executable, "-m", "runtime.launch.child", str(srun), str(said)], cwd=REPOSITORY)
    wait_for(said.with_suffix(".ready"))
    process.send_signal(number)
    if passed:
        assert process.wait(SECONDS) == 7 and said.read_text() == "SIGUSR1"
    else:
        process.send_signal(signal.SIGUSR1)
        process.wait(SECONDS)
        assert said.read_text() == "SIGUSR1"  # and not the SIGTERM before it


# --- what a launcher says it did ---------------------------------------------------------------------------------------


def test_a_launcher_that_ends_well_without_running_anything_makes_no_result(tree: Tree, tmp_path: Path) -> None:
    """`ray symmetric-run` ends with 0 when Ray does not start; an earlier attempt's output must not count as this one's."""
    program(tmp_path / "bin", "launcher", "#!/bin/sh\nexit 0\n")
    command = f"python -m runtime.launch.marked {MAKES}"
    path = script(tree, "generate/x", f'python -m runtime launch --marked "$LETHE_CONTRACT" launcher {command}')
    tree.out("generate/x").mkdir(parents=True)
    (tree.out("generate/x") / "traces.jsonl").write_text("{}\n")
    where = {"PATH": f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = bash(tree, path, **where)
    assert done.returncode == 1
    assert "never ran to its end" in done.stderr and not (tree.out("generate/x") / "DONE.json").exists()

    program(tmp_path / "bin", "launcher", '#!/bin/sh\nexec "$@"\n')
    assert bash(tree, path, **where).returncode == 0


def test_the_mark_is_of_one_attempt_and_only_of_a_good_end(tree: Tree) -> None:
    contract = str(tree.contract(tree.add("generate/x")))
    out = tree.out("generate/x")
    environment = tree.environment({"LETHE_STORE": str(tree.store), "LETHE_OUT": str(out)})

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *words]
        return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)

    assert "no attempt was begun here" in call("runtime.launch.marked", "true").stderr
    assert call("runtime", "begin", "--marked", contract).returncode == 0
    (out / "traces.jsonl").write_text("{}\n")
    assert call("runtime.launch.marked", "false").returncode == 1
    assert call("runtime", "finish", contract).returncode == 1
    assert call("runtime.launch.marked", "true").returncode == 0
    assert call("runtime", "begin", "--marked", contract).returncode == 0  # another attempt: the mark is gone
    assert call("runtime", "finish", contract).returncode == 1
    assert call("runtime.launch.marked", "true").returncode == 0
    assert call("runtime", "finish", contract).returncode == 0


def test_the_time_up_to_the_last_checkpoint_of_earlier_attempts_counts(tmp_path: Path) -> None:
    job = ("train/x", "f" * 64)
    first = attempts.begin(tmp_path, *job, {})
    second = attempts.begin(tmp_path, *job, {}, saved=first.began + 100)
    assert second.before == pytest.approx(100, abs=0.01) and second.seconds >= 100
    third = attempts.begin(tmp_path, *job, {})  # there is no checkpoint to go on from: it starts anew
    assert third.before == 0


# --- Ray ---------------------------------------------------------------------------------------------------------------

# Ray's command line: says how it was called, and stays until it is told to end.
RAY = """#!/usr/bin/env python3
import json, os, pathlib, sys, time
state = pathlib.Path(os.environ["STATE"])
rank = os.environ.get("SLURM_NODEID", "0")
kept = {name: os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "RAY_TMPDIR", "RAY_ADDRESS")}
(state / f"ray{rank}.json").write_text(json.dumps({"argv": sys.argv[1:], **kept}))
if os.environ.get("RAY_FAILS"):
    sys.exit(int(os.environ["RAY_FAILS"]) - 1)
(state / f"up{rank}").touch()
time.sleep(60)
"""
# Ray's package, as far as it is asked: the nodes are those whose `ray start` is up.
PACKAGE = """
import os, pathlib
state = pathlib.Path(os.environ["STATE"])
up = False
def is_initialized(): return up
def init(**given):
    global up
    if not (state / "up0").exists(): raise ConnectionError
    up = True
def nodes(): return [{"Alive": True} for _ in state.glob("up[0-9]")]
"""
SRUN = """#!/usr/bin/env python3
# Starts a command once for each node, on this machine; passes on what it is told.
import os, signal, subprocess, sys
many = int(next(word for word in sys.argv if word.startswith("--ntasks=")).partition("=")[2])
command = [word for word in sys.argv[1:]]
while command[0].startswith("--"): command.pop(0)
def of(rank): return {"SLURM_NODEID": str(rank), "RAY_TMPDIR": os.environ["RAY_TMPDIR"] + str(rank)}
tasks = [subprocess.Popen(command, env={**os.environ, **of(rank)}) for rank in range(many)]
signal.signal(signal.SIGUSR1, lambda *_: [task.send_signal(signal.SIGUSR1) for task in tasks])
sys.exit(max(task.wait() for task in tasks))
"""


@pytest.fixture
def ray(tmp_path: Path) -> dict[str, str]:
    """An environment in which `ray`, its package and `srun` are these."""
    state = tmp_path / "state"
    state.mkdir()
    program(tmp_path / "bin", "ray", RAY)
    program(tmp_path / "bin", "srun", SRUN)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "ray.py").write_text(PACKAGE)
    path = f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "STATE": str(state), "PATH": path, "PYTHONPATH": f"{tmp_path / 'package'}:{REPOSITORY}"}


def on_ray(environment: Mapping[str, str], *command: str, nodes: int = 1, **more: str) -> subprocess.CompletedProcess[str]:
    options = [f"--nodes={nodes}", "--cpus=3", "--gpus=2", f"--patience={more.pop('patience', '30')}"]
    if nodes > 1:
        options += ["--head=localhost", "--port=12400", f"--step=srun --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1"]
    called = [sys.executable, "-m", "runtime.launch.ray_cluster", *options, *command]
    return subprocess.run(called, env={**environment, **more}, capture_output=True, text=True, timeout=90, check=False)


def seen(environment: Mapping[str, str], rank: int = 0) -> dict[str, str]:
    found: dict[str, str] = json.loads((Path(environment["STATE"]) / f"ray{rank}.json").read_text())
    return found


def left_running(environment: Mapping[str, str]) -> bool:
    fake = Path(environment["STATE"]).parent / "bin"
    return subprocess.run(["pgrep", "-f", str(fake)], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("code", [0, 5])
def test_the_command_runs_on_the_cluster_and_its_end_is_the_end(ray: dict[str, str], tmp_path: Path, code: int) -> None:
    said = tmp_path / "said"
    done = on_ray(ray, "bash", "-c", f'echo "$RAY_ADDRESS $RAY_AUTH_TOKEN" > {said}; exit {code}', SLURM_JOB_ID="12")
    assert done.returncode == code, done.stderr
    node = seen(ray)
    address, token = said.read_text().split()
    assert (address, token) == (f"127.0.0.1:{10000 + 12 * 200}", node["RAY_AUTH_TOKEN"])
    assert len(token) == 64 and node["RAY_AUTH_MODE"] == "token" and node["RAY_TMPDIR"] == "/tmp/ray.12"
    assert not left_running(ray) and not Path("/tmp/ray.12").exists()


@pytest.mark.parametrize("fails", ["1", "4"])  # Ray ends with 0 and with 3 without having started
@pytest.mark.parametrize("nodes", [1, 2])
def test_a_ray_that_does_not_start_is_never_a_good_end(ray: dict[str, str], tmp_path: Path, fails: str, nodes: int) -> None:
    done = on_ray(ray, "touch", str(tmp_path / "ran"), nodes=nodes, RAY_FAILS=fails)
    assert done.returncode == 1 and "Ray did not start" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_too_few_nodes_are_not_waited_for_for_ever(ray: dict[str, str], tmp_path: Path) -> None:
    done = on_ray(
        {**ray}, "touch", str(tmp_path / "ran"), patience="1", STATE=str(tmp_path / "state"), RAY_ADDRESS="x", nodes=1
    )
    assert done.returncode == 0
    (tmp_path / "state" / "up0").unlink()
    program(tmp_path / "bin", "ray", RAY.replace('(state / f"up{rank}").touch()', ""))
    (tmp_path / "ran").unlink()
    done = on_ray(ray, "touch", str(tmp_path / "ran"), patience="1")
    assert done.returncode == 1 and "did not have 1 node(s) within 1 seconds" in done.stderr
    assert not (tmp_path / "ran").exists() and not left_running(ray)


def test_all_nodes_have_one_head_and_one_token(ray: dict[str, str], tmp_path: Path) -> None:
    done = on_ray(ray, "touch", str(tmp_path / "ran"), nodes=3)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ran").exists() and not left_running(ray)
    head, *others = [seen(ray, rank) for rank in range(3)]
    assert "--head" in head["argv"] and "--port=12400" in head["argv"]
    for other in others:
        assert "--head" not in other["argv"] and "--address=127.0.0.1:12400" in other["argv"]
        assert other["RAY_AUTH_TOKEN"] == head["RAY_AUTH_TOKEN"]
    for node in (head, *others):
        assert {"--num-cpus=3", "--num-gpus=2", "--block", "--min-worker-port=12410", "--max-worker-port=12599"} <= {
            *node["argv"]
        }


def test_a_cluster_that_breaks_ends_the_command(ray: dict[str, str], tmp_path: Path) -> None:
    program(tmp_path / "bin", "ray", RAY.replace("time.sleep(60)", "time.sleep(3)"))
    done = on_ray(ray, "sleep", "60")
    assert done.returncode == 1 and "Ray ended" in done.stderr and "while sleep ran" in done.stderr


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_reaches_the_command_and_ends_the_cluster(
    ray: dict[str, str], tmp_path: Path, number: signal.Signals, nodes: int
) -> None:
    said, hears = tmp_path / "said", tmp_path / "hears.py"
    hears.write_text(HEARS)
    step = ["--head=localhost", f"--step=srun --ntasks={nodes}"] if nodes > 1 else []
    options = [f"--nodes={nodes}", "--cpus=1", "--gpus=0", *step]
    command = [sys.executable, "-m", "runtime.launch.ray_cluster", *options, sys.executable, str(hears), str(said)]
    process = subprocess.Popen(command, env=ray)
    wait_for(said.with_suffix(".ready"))
    process.send_signal(number)
    assert process.wait(SECONDS) == 7
    assert said.read_text() == number.name and not left_running(ray)


def test_every_port_is_the_jobs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(job: int) -> set[int]:
        monkeypatch.setenv("SLURM_JOB_ID", str(job))
        words = dict(word.partition("=")[::2] for word in arguments(f"h:{ports.first()}", 1, 1, head=True))
        assert "--ray-client-server-port" in words  # else it is 10001, which lies in the ports of one job in 110
        low, high = int(words.pop("--min-worker-port")), int(words.pop("--max-worker-port"))
        return {int(value) for name, value in words.items() if name.endswith("port")} | {*range(low, high + 1)}

    for job in (1, 4711, 99_999_999):
        assert len(of(job)) >= 190 and not of(job) & of(job + 1)
        assert min(of(job)) >= 10_000 and max(of(job)) < 32_768  # where Linux gives out ports by itself


@pytest.mark.slow
def test_the_real_ray_runs_a_command_and_is_gone_afterwards(tmp_path: Path) -> None:
    from tests.backends.real.outside import verl_python

    python = verl_python()
    tasks = "[ray.remote(lambda x: x).remote(i) for i in range(5)]"
    counts = f"import ray; ray.init(logging_level='ERROR'); print(sum(ray.get({tasks})))"
    environment = {**os.environ, "PATH": f"{Path(python).parent}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}
    command = [python, "-m", "runtime.launch.ray_cluster", "--nodes=1", "--cpus=2", "--gpus=0", python, "-c", counts]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    shown, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and shown.strip().splitlines()[-1] == "10"
    assert not Path(f"/tmp/ray.{process.pid}").exists()

    bad = [*command[:3], "--nodes=1", "--cpus=-5", "--gpus=0", "touch", str(tmp_path / "ran")]
    failed = subprocess.run(bad, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert failed.returncode == 1 and not (tmp_path / "ran").exists()
