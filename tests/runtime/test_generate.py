"""Job `generate` samples a checkpoint's answers, grades them, keeps failures with the rest, and goes on after it was killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.data.rows import read_rows, write_rows
from runtime.domains import make_rows
from runtime.errors import JobError
from runtime.graders import grade
from runtime.job import Job
from runtime.jobs import generate

MakeJob = Callable[..., Job]

CONFIG: dict[str, Any] = {
    "samples": 3,
    "temperature": 1.0,
    "top_p": 1.0,
    "max_new_tokens": 6,
    "prompts": 5,
    "seed": 0,
    "grader": "math",
}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    write_rows(folder / "train.jsonl", make_rows("arithmetic", 20, 4, seed=0)[0])
    return folder


def traces(make_job: MakeJob, name: str, changed: Any, untrained: Path, rows: Path) -> list[dict[str, Any]]:
    job = make_job(name, {**CONFIG, **changed}, {"model": untrained, "rows": rows})
    generate.run(job)
    return read_rows(job.out / "traces.jsonl")


def test_each_of_the_first_prompts_gets_its_samples_with_the_graders_verdict(
    make_job: MakeJob, untrained: Path, rows: Path
) -> None:
    found = traces(make_job, "a", {}, untrained, rows)
    asked = read_rows(rows / "train.jsonl")[:5]
    assert [{key: row[key] for key in asked[0]} for row in found] == [{key: row[key] for key in asked[0]} for row in asked]
    for row in found:
        assert len(row["samples"]) == 3
        for sample in row["samples"]:
            assert sample.keys() == {"text", "correct", "finished"}
            assert sample["correct"] == grade("math", row, sample["text"])


def test_facts_are_the_rates_of_the_traces(make_job: MakeJob, untrained: Path, rows: Path) -> None:
    job = make_job("a", {**CONFIG, "prompts": 20, "samples": 8}, {"model": untrained, "rows": rows})
    facts = generate.run(job)
    samples = [sample for row in read_rows(job.out / "traces.jsonl") for sample in row["samples"]]
    assert facts["prompts"] == 20
    assert facts["samples"] == len(samples) == 160
    assert facts["clip_rate"] == pytest.approx(sum(not sample["finished"] for sample in samples) / 160, abs=1e-4)
    assert facts["pass_rate"] == pytest.approx(sum(sample["correct"] for sample in samples) / 160, abs=1e-4)
    assert facts["clip_rate"] > 0


def test_the_same_seed_gives_the_same_traces_and_fewer_prompts_the_first_of_them(
    make_job: MakeJob, untrained: Path, rows: Path
) -> None:
    found = traces(make_job, "a", {}, untrained, rows)
    assert traces(make_job, "b", {}, untrained, rows) == found
    assert traces(make_job, "c", {"prompts": 2}, untrained, rows) == found[:2]
    assert traces(make_job, "d", {"seed": 1}, untrained, rows) != found


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"prompts": 21}, "wants 21 prompts, the rows are 20"), ({"grader": "essay"}, "grader: there is no 'essay'")],
)
def test_a_config_that_cannot_work_says_why(make_job: MakeJob, untrained: Path, rows: Path, changed: Any, said: str) -> None:
    with pytest.raises(JobError, match=said):
        traces(make_job, "a", changed, untrained, rows)


def test_rows_whose_solution_their_grader_rejects_are_stopped_before_sampling(
    make_job: MakeJob, untrained: Path, rows: Path
) -> None:
    spoilt = [{**row, "answer": "-1"} for row in read_rows(rows / "train.jsonl")]
    write_rows(rows / "train.jsonl", spoilt)
    with pytest.raises(JobError, match="scores its own solution"):
        traces(make_job, "a", {}, untrained, rows)


MANY: dict[str, Any] = {**CONFIG, "prompts": 20, "samples": 60}  # three batches

KILLED_AFTER = """
import json, os, signal, sys
from pathlib import Path
from runtime.job import Input, Job
from runtime.jobs import generate

class Killed(Job):
    def progress(self, done, total, **facts):
        if done >= {after}:
            os.kill(os.getpid(), signal.SIGKILL)

inputs = {{name: Input("x", "x", Path(path), "0" * 64) for name, path in json.loads(sys.argv[2]).items()}}
generate.run(Killed("generate/a", "generate", "t", "f" * 64, None, json.loads(sys.argv[3]), inputs, Path(sys.argv[1])))
"""


def test_a_job_killed_while_it_samples_goes_on_to_the_same_traces(make_job: MakeJob, untrained: Path, rows: Path) -> None:
    inputs = {"model": untrained, "rows": rows}
    whole, job = make_job("whole", MANY, inputs), make_job("killed", MANY, inputs)
    facts = generate.run(whole)
    words = [str(job.out), json.dumps({name: str(path) for name, path in inputs.items()}), json.dumps(MANY)]
    killed = subprocess.run([sys.executable, "-c", KILLED_AFTER.format(after=1024), *words], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    head, *lines = (job.out / "drawn.jsonl").read_text().splitlines()
    assert json.loads(head).keys() == {"asked", "samples"} and len(lines) == 1024
    assert json.loads(lines[0]).keys() == {"item", "id", "copy", "text", "finished"}
    assert not (job.out / "traces.jsonl").exists()
    assert generate.run(job) == facts
    assert (job.out / "traces.jsonl").read_bytes() == (whole.out / "traces.jsonl").read_bytes()
    assert not (job.out / "drawn.jsonl").exists()


@pytest.mark.parametrize(
    ("left", "there"),
    [
        pytest.param(lambda text: "".join(text.splitlines(keepends=True)[:700]), 512, id="a batch that is not whole"),
        pytest.param(lambda text: text[: len(text) // 2], 512, id="a line that is torn"),
        pytest.param(lambda text: text, 1200, id="all, but not graded"),
        pytest.param(lambda text: text.replace('"asked": "', '"asked": "0'), 0, id="other prompts"),
        pytest.param(lambda text: "\0" * 100, 0, id="a disk's rubbish"),
    ],
)
def test_only_whole_batches_of_the_same_questions_are_taken_up(
    make_job: MakeJob, untrained: Path, rows: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    left: Callable[[str], str], there: int,
) -> None:  # fmt: skip
    inputs = {"model": untrained, "rows": rows}
    whole, job = make_job("whole", MANY, inputs), make_job("again", MANY, inputs)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda self: None)  # the ledger of a job that was killed just before its end
        facts = generate.run(whole)
    (job.out / "drawn.jsonl").write_text(left((whole.out / "drawn.jsonl").read_text()))
    assert generate.run(job) == facts
    assert (job.out / "traces.jsonl").read_bytes() == (whole.out / "traces.jsonl").read_bytes()
    said = f"{there} of 1200 answers are there from an earlier attempt"
    assert (said in capsys.readouterr().out) == (0 < there < 1200)
