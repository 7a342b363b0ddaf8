"""A server beside a job: waited for, noticed when it dies, and always ended; and the jobs that sample with vLLM through one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.data.rows import read_rows, write_rows
from runtime.domains import make_rows
from runtime.errors import JobError
from runtime.graders import grade
from runtime.job import Job
from runtime.jobs import evaluate, generate
from runtime.launch.server import serving
from runtime.models import load_tokenizer
from runtime.prompts import render_prompt
from runtime.sampling import item_seed, vllm
from tests.tree import REPOSITORY

MakeJob = Callable[..., Job]
PORT = 31_990
FAKE = Path(__file__).with_name("fake_vllm.py")
EXECUTION = {"tensor_parallel": 2, "gpu_memory_utilization": 0.8, "max_model_len": 64}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """`vllm` is the fake one, which leaves its traces here; whatever it left running is ended."""
    folder, binaries = tmp_path / "state", tmp_path / "bin"
    folder.mkdir()
    binaries.mkdir()
    (binaries / "vllm").write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    (binaries / "vllm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{binaries}:{os.environ['PATH']}")
    monkeypatch.setenv("STATE", str(folder))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # which must not stand between
    yield folder
    for name in ("pid", "engine"):
        if (folder / name).exists() and alive(int((folder / name).read_text())):
            os.kill(int((folder / name).read_text()), signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether a process runs, and is not merely waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pid_in(state: Path, name: str = "pid") -> int:
    return int((state / name).read_text())


def command(state: Path) -> list[str]:
    return ["vllm", "serve", str(state), "--host", "127.0.0.1", "--port", str(PORT)]


def serve(state: Path, *, patience: float = 30, grace: float = 10) -> Any:
    return serving(command(state), f"http://127.0.0.1:{PORT}/health", state / "log", patience=patience, grace=grace)


def test_it_is_there_while_one_is_inside_and_gone_afterwards_and_its_log_stays(state: Path) -> None:
    with serve(state):
        assert alive(pid_in(state))
    assert not alive(pid_in(state))
    with serve(state):
        pass
    assert (state / "log").read_text() == "loading the model\n" * 2


def test_a_failure_inside_ends_it_too(state: Path) -> None:
    with pytest.raises(ZeroDivisionError), serve(state):
        _ = 1 / 0
    assert not alive(pid_in(state))


def test_one_that_dies_at_once_is_noticed_long_before_patience_ends(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VLLM", "dies")
    with pytest.raises(JobError, match=r"the server ended with 4(?s:.)*ValueError: no such model"), serve(state, patience=1e9):
        raise AssertionError("never inside")


def test_one_that_never_becomes_healthy_is_given_up(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VLLM", "deaf")
    with pytest.raises(JobError, match=r"not healthy within 1 seconds(?s:.)*loading the model"), serve(state, patience=1):
        raise AssertionError("never inside")
    assert not alive(pid_in(state))


def test_another_server_at_the_address_is_not_taken_for_it(state: Path) -> None:
    with serve(state):
        first = pid_in(state)
        with pytest.raises(JobError, match="something else answers at"), serve(state):
            raise AssertionError("never inside")
        assert alive(first)


def test_one_that_ignores_the_request_to_end_is_killed_with_what_it_started(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "stubborn")
    with serve(state, grace=0.5):
        assert alive(pid_in(state, "engine"))
    assert not alive(pid_in(state)) and not alive(pid_in(state, "engine"))


def test_a_program_that_is_not_there_is_one_message(state: Path) -> None:
    missing = serving(["no-such-server"], "http://127.0.0.1:1/", state / "log", patience=1, grace=1)
    with pytest.raises(JobError, match="no-such-server: cannot be started"), missing:
        raise AssertionError("never inside")


INSIDE = """
import pathlib, sys, time
from runtime.launch.server import serving
port, log, ready = sys.argv[1:]
command = ["vllm", "serve", "x", "--host", "127.0.0.1", "--port", port]
with serving(command, f"http://127.0.0.1:{port}/health", pathlib.Path(log), patience=30, grace=5):
    pathlib.Path(ready).touch()
    time.sleep(60)
"""


@pytest.mark.parametrize("mode", ["good", "deaf"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_ends_the_server_first(state: Path, number: signal.Signals, mode: str) -> None:
    """Whether it is up, or still being waited for."""
    words = [sys.executable, "-c", INSIDE, str(PORT), str(state / "log"), str(state / "ready")]
    process = subprocess.Popen(words, cwd=REPOSITORY, env={**os.environ, "FAKE_VLLM": mode})
    end = time.monotonic() + 30
    while not (state / ("ready" if mode == "good" else "pid")).exists():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(30) == 128 + number
    assert not alive(pid_in(state))


# --- jobs that sample with vLLM ----------------------------------------------------------------------------------------

CONFIG: dict[str, Any] = {
    "engine": "vllm", "samples": 2, "temperature": 0.7, "top_p": 0.9, "max_new_tokens": 6, "prompts": 5, "seed": 3,
    "grader": "math", "execution": EXECUTION,
}  # fmt: skip


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    train, test = make_rows("arithmetic", 20, 4, seed=0)
    write_rows(folder / "train.jsonl", train)
    write_rows(folder / "eval.jsonl", test)
    return folder


def requests(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (state / "requests.jsonl").read_text().splitlines()]


def test_generate_asks_vllm_what_it_would_ask_its_own_model(
    make_job: MakeJob, untrained: Path, rows: Path, state: Path
) -> None:
    job = make_job("generate/a", CONFIG, {"model": untrained, "rows": rows})
    facts = generate.run(job)
    tokenizer, asked = load_tokenizer(untrained), read_rows(rows / "train.jsonl")[:5]
    seeds = {(row["id"], copy): item_seed(3, row["id"], copy) for row in asked for copy in range(2)}
    sent = {request["seed"]: request for request in requests(state)}
    assert sorted(sent) == sorted(seeds.values())
    for row in asked:
        tokens = tokenizer.encode(render_prompt(row["prompt"], tokenizer), add_special_tokens=False)
        wanted = {"model": "model", "prompt": tokens, "max_tokens": 6, "temperature": 0.7, "top_p": 0.9}
        for copy in range(2):
            seed = seeds[row["id"], copy]
            assert sent[seed] == {**wanted, "seed": seed}
    for trace in read_rows(job.out / "traces.jsonl"):
        for copy, sample in enumerate(trace["samples"]):
            seed = seeds[trace["id"], copy]
            assert (sample["text"], sample["finished"]) == (str(seed % 7), seed % 2 == 0)
            assert sample["correct"] == grade("math", trace, sample["text"])
    assert facts["samples"] == 10 and not alive(pid_in(state))
    assert (job.out / "vllm.log").read_text() == "loading the model\n"


def test_evaluate_scores_vllms_answers(make_job: MakeJob, untrained: Path, rows: Path, state: Path) -> None:
    config = {
        "engine": "vllm", "suite": "domains", "version": 1, "max_new_tokens": 6, "temperature": 0.0, "seed": 0,
        "tasks": [{"name": "math", "grader": "math", "items": 4}], "execution": EXECUTION,
    }  # fmt: skip
    job = make_job("evaluate/a.domains", config, {"model": untrained, "math": rows})
    evaluate.run(job)
    scores = json.loads((job.out / "scores.json").read_text())
    assert scores["tasks"]["math"]["n"] == 4 and scores["dtype"] == "float32"
    assert len(requests(state)) == 4 and not alive(pid_in(state))


def test_the_servers_command_line_is_what_the_config_says() -> None:
    engine = {
        "enforce_eager": True,
        "enable_prefix_caching": False,
        "max_num_seqs": 64,
        "hf_overrides": {"a": 1},
        "quantization": None,
    }
    words = vllm.command_of(Path("/m"), 12000, EXECUTION, engine)
    assert words == [
        "vllm", "serve", "/m", "--host", "127.0.0.1", "--port", "12000", "--served-model-name", "model",
        "--tensor-parallel-size", "2", "--gpu-memory-utilization", "0.8", "--max-model-len", "64",
        "--enforce-eager", "--no-enable-prefix-caching", "--max-num-seqs", "64", "--hf-overrides", '{"a": 1}',
    ]  # fmt: skip


def test_further_options_of_sampling_go_with_each_request(make_job: MakeJob, untrained: Path, rows: Path, state: Path) -> None:
    config = {**CONFIG, "options": {"engine": {"max_num_seqs": 8}, "sampling": {"repetition_penalty": 1.1}}}
    generate.run(make_job("generate/a", config, {"model": untrained, "rows": rows}))
    assert {request["repetition_penalty"] for request in requests(state)} == {1.1}
    assert "--max-num-seqs" in json.loads((state / "command.json").read_text())


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("dies", r"the server ended with 4(?s:.)*no such model"),
        ("breaks", r"the server ended with 9(?s:.)*CUDA out of memory"),
        ("refuses", "vLLM refuses a request \\(400\\)(?s:.)*maximum context length"),
    ],
)
def test_a_server_that_fails_fails_the_job_with_its_reason(
    make_job: MakeJob, untrained: Path, rows: Path, state: Path, monkeypatch: pytest.MonkeyPatch, mode: str, message: str
) -> None:
    monkeypatch.setenv("FAKE_VLLM", mode)
    job = make_job("generate/a", CONFIG, {"model": untrained, "rows": rows})
    with pytest.raises(JobError, match=message):
        generate.run(job)
    assert not (job.out / "traces.jsonl").exists() and not alive(pid_in(state))


def test_what_vllm_refuses_is_a_failure_of_its_item_and_is_asked_again_by_a_later_attempt(
    make_job: MakeJob, untrained: Path, rows: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "picky")
    job = make_job("generate/a", {**CONFIG, "samples": 6}, {"model": untrained, "rows": rows})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda self: None)  # as after a kill just before the end
        facts = generate.run(job)
    samples = [sample for trace in read_rows(job.out / "traces.jsonl") for sample in trace["samples"]]
    failed = [sample for sample in samples if "failed" in sample]
    assert 0 < facts["failures"] == len(failed) < 30
    assert all(s["text"] == "" and not s["correct"] and "maximum context length" in s["failed"] for s in failed)
    cut = sum(not sample["finished"] for sample in samples) - len(failed)
    assert facts["clip_rate"] == pytest.approx(cut / 30, abs=1e-4)
    asked = len(requests(state))
    monkeypatch.setenv("FAKE_VLLM", "good")
    assert generate.run(job)["failures"] == 0
    assert len(requests(state)) == asked + len(failed)


def test_an_evaluation_wants_every_answer(
    make_job: MakeJob, untrained: Path, rows: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "refuses")
    config = {
        "engine": "vllm", "suite": "domains", "version": 1, "max_new_tokens": 6, "temperature": 0.0, "seed": 0,
        "tasks": [{"name": "math", "grader": "math", "items": 4}], "execution": EXECUTION,
    }  # fmt: skip
    with pytest.raises(JobError, match="vLLM refuses a request"):
        evaluate.run(make_job("evaluate/a.domains", config, {"model": untrained, "math": rows}))
    assert not alive(pid_in(state))


def test_an_engine_that_is_not_there_is_refused_by_name(make_job: MakeJob, untrained: Path, rows: Path) -> None:
    job = make_job("generate/a", {**CONFIG, "engine": "sglang"}, {"model": untrained, "rows": rows})
    with pytest.raises(JobError, match="no 'sglang'; it has transformers and vllm"):
        generate.run(job)
