"""The warm process: a forked job is what a cold one would have been, in output, exit, signals and folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.tree import MAKE_TRACES, QUIET, REPOSITORY, Tree

CLIENT = """
import sys
from runtime.local.warm import ask
code = ask(sys.argv[1], sys.argv[2:])
print("cold") if code is None else sys.exit(code)
"""


@dataclass(frozen=True)
class Warm:
    """A running server, and how to be its client."""

    server: subprocess.Popen[bytes]
    address: str
    environment: dict[str, str]

    def client(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start a client process that asks for `python -m runtime ARGUMENTS`."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-c", CLIENT, self.address, *arguments],
            cwd=REPOSITORY,
            env={**self.environment, **more},
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    def ask(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        process = self.client(*arguments, **more)
        shown, wrong = process.communicate(timeout=120)
        return process.returncode, shown, wrong


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LETHE_", "PYTEST"))}
    return {**kept, **QUIET}


def start(address: Path) -> Warm:
    command = [sys.executable, "-m", "runtime", "warm", str(address)]
    pipe = subprocess.PIPE
    server = subprocess.Popen(command, cwd=REPOSITORY, env=environment(), stdin=pipe, stdout=pipe, start_new_session=True)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    return Warm(server, str(address), environment())


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """One server for all tests: its imports take some seconds."""
    running = start(tmp_path_factory.mktemp("w") / "s")
    with running.server:
        yield running


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path / "root")
    tree.add("prepare/a", output="dataset.rows", config={"source": "arithmetic", "seed": 1, "train": 5, "eval": 3})
    return tree.close()


def wait_until_gone(process: int) -> None:
    for _ in range(250):
        if not Path(f"/proc/{process}").exists():
            return
        time.sleep(0.02)
    raise AssertionError(f"process {process} is still there")


def child_of(warm: Warm) -> int:
    """The one child that the server has now."""
    path = Path(f"/proc/{warm.server.pid}/task/{warm.server.pid}/children")
    for _ in range(250):
        found = path.read_text().split()
        if len(found) == 1:
            return int(found[0])
        time.sleep(0.02)
    raise AssertionError("the server has no child")


def test_a_forked_job_does_what_a_cold_one_does(warm: Warm, tree: Tree) -> None:
    contract = str(tree.contract("prepare/a"))
    code, shown, _ = warm.ask("prepare", contract, LETHE_STORE=str(tree.store))
    assert (code, shown) == (0, "prepare/a: 5/5 eval=3\n")
    assert (tree.out("prepare/a") / "DONE.json").exists()
    code, shown, _ = warm.ask("prepare", contract, LETHE_STORE=str(tree.store))
    assert shown == f"prepare/a is already done: {tree.out('prepare/a')}\n"


def test_its_exit_code_and_message_come_back(warm: Warm, tree: Tree) -> None:
    code, _, wrong = warm.ask("prepare", str(tree.contract("prepare/a")), LETHE_STORE="")
    assert code == 1
    assert "LETHE_STORE is not set" in wrong
    code, _, wrong = warm.ask("no-such-verb")
    assert code == 2
    assert "invalid choice" in wrong


def test_what_was_imported_is_there_and_few_threads_are(warm: Warm) -> None:
    warm.ask("--help")
    maps = Path(f"/proc/{warm.server.pid}/maps").read_text()
    assert "libtorch_cpu" in maps
    assert len(list(Path(f"/proc/{warm.server.pid}/task").iterdir())) <= 2  # the other one is pyarrow's allocator's


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_the_client_ends_job_and_client_alike(warm: Warm, tmp_path: Path, number: signal.Signals) -> None:
    client = warm.client("warm", str(tmp_path / "s"))  # a job that waits until its stdin closes
    assert client.stdout is not None
    assert client.stdout.readline() == "ready\n"
    child = child_of(warm)
    client.send_signal(number)
    client.communicate(timeout=10)
    assert client.returncode == -number
    wait_until_gone(child)


def test_a_job_that_is_killed_is_reported_as_killed(warm: Warm, tmp_path: Path) -> None:
    client = warm.client("warm", str(tmp_path / "s"))
    assert client.stdout is not None
    client.stdout.readline()
    os.kill(child_of(warm), signal.SIGKILL)
    client.communicate(timeout=10)
    assert client.returncode == -signal.SIGKILL


def test_a_killed_client_takes_its_job_along(warm: Warm, tmp_path: Path) -> None:
    client = warm.client("warm", str(tmp_path / "s"))
    assert client.stdout is not None
    client.stdout.readline()
    child = child_of(warm)
    client.kill()
    client.communicate(timeout=10)
    wait_until_gone(child)


def test_a_job_has_its_clients_stdin(warm: Warm, tmp_path: Path) -> None:
    client = warm.client("warm", str(tmp_path / "s"))
    assert client.stdout is not None
    client.stdout.readline()
    client.communicate(timeout=10)  # closes it
    assert client.returncode == 0


def test_another_environment_runs_cold_and_says_so(warm: Warm) -> None:
    warm.ask("--help")
    code, shown, wrong = warm.ask("--help", OMP_NUM_THREADS="2")
    assert (code, shown) == (0, "cold\n")
    assert wrong == "starting cold: the warm process was started for another environment\n"


def test_what_only_torchrun_reads_makes_no_other_environment(warm: Warm) -> None:
    warm.ask("--help")
    code, shown, wrong = warm.ask("--help", TORCH_ELASTIC_SHUTDOWN_TIMEOUT="300")
    assert (code, wrong) == (0, "") and "cold" not in shown


def test_other_code_runs_cold_and_says_so(warm: Warm, tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "runtime", tmp_path / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    warm.ask("--help")
    command = [sys.executable, "-c", CLIENT, warm.address, "--help"]
    found = subprocess.run(command, cwd=tmp_path, env=warm.environment, capture_output=True, text=True, check=True)
    assert found.stdout == "cold\n"
    assert "starting cold:" in found.stderr


def test_a_variable_that_no_import_reads_is_the_jobs_own_affair(warm: Warm) -> None:
    assert warm.ask("--help", LETHE_ANYTHING="1")[1].startswith("usage:")


def test_without_a_server_it_runs_cold_and_says_so(warm: Warm, tmp_path: Path) -> None:
    nobody = Warm(warm.server, str(tmp_path / "nobody"), warm.environment)
    code, shown, wrong = nobody.ask("--help")
    assert (code, shown) == (0, "cold\n")
    assert f"starting cold: no warm process at {tmp_path / 'nobody'} (No such file or directory)" in wrong


def test_a_server_that_goes_away_ends_its_jobs(warm: Warm, tmp_path: Path) -> None:
    holder = warm.client("warm", str(tmp_path / "inner"))  # a server that is a job of the other, so its imports are there
    assert holder.stdout is not None
    holder.stdout.readline()
    client = Warm(warm.server, str(tmp_path / "inner"), warm.environment).client("warm", str(tmp_path / "job"))
    assert client.stdout is not None
    client.stdout.readline()
    holder.kill()
    _, wrong = client.communicate(timeout=10)
    assert client.returncode == 1
    assert "the warm process ended while this job ran" in wrong
    holder.communicate(timeout=10)


def test_the_executor_starts_one_server_and_jobs_use_it(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root")
    run = 'python -m runtime train "$LETHE_CONTRACT" || true'  # refuses its empty config, after all imports
    for name in "xyz":
        tree.add(f"train/{name}", body=f"{run}; {MAKE_TRACES}")
    start_time = time.monotonic()
    result = tree.close().submit()
    assert result.returncode == 0, result.stdout + result.stderr
    assert time.monotonic() - start_time < 60
    for name in "xyz":
        assert "the train config lacks" in tree.log(f"train/{name}").read_text()
        assert "cold" not in tree.log(f"train/{name}").read_text()
    assert tree.log("warm").read_text() == ""
