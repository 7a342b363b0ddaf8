"""The build job: a dataset's file from rows and traces, or one message that says why there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from runtime.data.rows import read_rows, write_rows
from runtime.errors import JobError
from runtime.job import Input, Job
from runtime.jobs import build

ROWS = [
    {"id": "q0", "prompt": "1+1=?", "answer": "2", "solution": "2"},
    {"id": "q1", "prompt": "1+2=?", "answer": "3", "solution": "3"},
    {"id": "q2", "prompt": "2+2=?", "answer": "4", "solution": "4"},
]
SAMPLES = [
    [{"text": "3", "correct": False, "finished": True}, {"text": "2", "correct": True, "finished": True}],
    [{"text": "3", "correct": True, "finished": True}],
    [{"text": "5", "correct": False, "finished": True}],
]
CONFIG = {
    "domain": "math",
    "type": "dataset.sft",
    "keep": "all",
    "per_question": None,
    "limit": None,
    "seed": 0,
    "format": "jsonl",
}


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    folders = {"rows": tmp_path / "rows", "traces": tmp_path / "traces"}
    for folder in folders.values():
        folder.mkdir()
    write_rows(folders["rows"] / "train.jsonl", ROWS)
    write_rows(folders["traces"] / "traces.jsonl", [{**row, "samples": s} for row, s in zip(ROWS, SAMPLES, strict=True)])
    return folders


def job(inputs: dict[str, Path], out: Path, **config: Any) -> Job:
    out.mkdir()
    given = {name: Input(f"made/{name}", "any", path, "0" * 64) for name, path in inputs.items()}
    return Job("build/truth_math", "build", "test", "f" * 64, None, {**CONFIG, **config}, given, out)


def test_ground_truth(inputs: dict[str, Path], tmp_path: Path) -> None:
    facts = build.run(job(inputs, tmp_path / "out"))
    assert facts == {"questions": 3, "rows": 3, "dropped": {}}
    assert read_rows(tmp_path / "out" / "data.jsonl")[0] == {"id": "q0", "prompt": "1+1=?", "completion": "2"}


@pytest.mark.parametrize(
    ("config", "rows", "dropped"),
    [
        ({"keep": "first_correct"}, 2, {"no correct answer": 1}),
        ({"keep": "balanced", "per_question": 1}, 2, {"no correct answer": 1}),
        ({"keep": "at_least", "least": 1, "per_question": None}, 2, {"no correct answer": 1}),
        (
            {"type": "dataset.preference", "keep": "correct_vs_incorrect", "per_question": 4},
            1,
            {"no correct answer": 1, "no incorrect answer": 1},
        ),
        (
            {"type": "dataset.preference", "keep": "truth_vs_own", "per_question": 2},
            2,
            {"every own answer is the solution": 1},
        ),
        ({"type": "dataset.privileged", "keep": "first_correct"}, 2, {"no correct answer": 1}),
        ({"type": "dataset.privileged"}, 3, {}),
        ({"type": "dataset.rl"}, 3, {}),
        ({"type": "dataset.rl", "limit": 2}, 2, {"over the limit": 1}),
    ],
)
def test_facts_say_how_many_questions_were_dropped_and_why(
    inputs: dict[str, Path], tmp_path: Path, config: dict[str, Any], rows: int, dropped: dict[str, int]
) -> None:
    facts = build.run(job(inputs, tmp_path / "out", **config))
    assert facts == {"questions": 3, "rows": rows, "dropped": dropped}
    assert len(read_rows(tmp_path / "out" / "data.jsonl")) == rows


def test_a_dataset_without_a_row_is_an_error_that_says_why(inputs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"none of 3 questions gave a row \(fewer than 2 .*: 2; no correct answer: 1\)"):
        build.run(job(inputs, tmp_path / "out", keep="balanced", per_question=2))


def test_a_rule_that_is_not_there_is_an_error_that_lists_those_that_are(inputs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"no rule for dataset.preference with keep 'all'.*correct_vs_incorrect"):
        build.run(job(inputs, tmp_path / "out", type="dataset.preference"))


def test_self_play_takes_the_round_befores_answers_too_where_they_are_given(inputs: dict[str, Path], tmp_path: Path) -> None:
    before = tmp_path / "before"
    before.mkdir()
    old = [{"text": "7", "correct": False, "finished": True}, {"text": "8", "correct": False, "finished": True}]
    write_rows(before / "traces.jsonl", [{**ROWS[2], "samples": old}, {**ROWS[0], "samples": []}])
    config = {"type": "dataset.preference", "keep": "truth_vs_own", "per_question": 2}
    build.run(job({**inputs, "traces_before": before}, tmp_path / "out", **config))
    pairs = {(row["id"], row["chosen"], row["rejected"]) for row in read_rows(tmp_path / "out" / "data.jsonl")}
    assert pairs == {("q0", "2", "3"), ("q2", "4", "5"), ("q2", "4", "7"), ("q2", "4", "8")}


def test_a_missing_input_is_named(inputs: dict[str, Path], tmp_path: Path) -> None:
    del inputs["traces"]
    with pytest.raises(JobError, match="keep 'first_correct' reads the input 'traces'"):
        build.run(job(inputs, tmp_path / "out", keep="first_correct"))


def test_verl_reads_supervised_rows_as_messages(inputs: dict[str, Path], tmp_path: Path) -> None:
    build.run(job(inputs, tmp_path / "out", format="parquet"))
    row = pyarrow.parquet.read_table(tmp_path / "out" / "train.parquet").to_pylist()[0]
    assert row["messages"] == [{"role": "user", "content": "1+1=?"}, {"role": "assistant", "content": "2"}]


def test_verl_reads_rl_rows_with_all_that_a_grader_needs(inputs: dict[str, Path], tmp_path: Path) -> None:
    build.run(job(inputs, tmp_path / "out", type="dataset.rl", format="parquet"))
    row = pyarrow.parquet.read_table(tmp_path / "out" / "train.parquet").to_pylist()[1]
    assert (row["data_source"], row["prompt"]) == ("math", [{"role": "user", "content": "1+2=?"}])
    assert row["reward_model"] == {"style": "rule", "ground_truth": "3"}
    assert (row["extra_info"]["index"], json.loads(row["extra_info"]["row"])) == (1, ROWS[1])


def test_verl_has_no_form_for_pairs(inputs: dict[str, Path], tmp_path: Path) -> None:
    pairs = {"type": "dataset.preference", "keep": "correct_vs_incorrect", "per_question": 1, "format": "parquet"}
    with pytest.raises(JobError, match=r"VeRL's trainers read no dataset.preference"):
        build.run(job(inputs, tmp_path / "out", **pairs))


def test_the_same_seed_gives_the_same_bytes(inputs: dict[str, Path], tmp_path: Path) -> None:
    config = {"type": "dataset.rl", "limit": 2, "seed": 5}
    texts = []
    for name in ("one", "two"):
        build.run(job(inputs, tmp_path / name, **config))
        texts.append((tmp_path / name / "data.jsonl").read_bytes())
    assert texts[0] == texts[1]
