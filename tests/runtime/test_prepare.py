"""Job `prepare` writes a domain's rows, the same ones for the same config."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.data.rows import Row, read_rows, read_split, write_rows
from runtime.errors import JobError
from runtime.job import Job
from runtime.jobs import prepare

MakeJob = Callable[..., Job]

CONFIG = {"source": "arithmetic", "seed": 7, "train": 30, "eval": 10}


def test_both_splits_are_written_and_counted(make_job: MakeJob) -> None:
    job = make_job("prepare/math", CONFIG, {})
    assert prepare.run(job) == {"train": 30, "eval": 10}
    assert len(read_split(job.out, "train")) == 30
    assert len(read_split(job.out, "eval")) == 10


def test_the_same_config_writes_the_same_bytes_and_another_seed_others(make_job: MakeJob) -> None:
    written = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        job = make_job(name, {**CONFIG, "seed": seed}, {})
        prepare.run(job)
        written.append((job.out / "train.jsonl").read_bytes() + (job.out / "eval.jsonl").read_bytes())
    assert written[0] == written[1] != written[2]


def test_asking_for_too_many_rows_leaves_nothing_behind(make_job: MakeJob) -> None:
    job = make_job("prepare/math", {**CONFIG, "train": 10**6}, {})
    with pytest.raises(JobError, match="ask for fewer"):
        prepare.run(job)
    assert not list(job.out.iterdir())


@pytest.mark.parametrize(
    ("text", "said"), [('{"id": 1}\n{"id": ', "rows.jsonl:2: not JSON"), ("[1]\n", "rows.jsonl:1: a row must be")]
)
def test_a_broken_line_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(JobError, match=said):
        read_rows(tmp_path / "rows.jsonl")


def test_a_missing_and_an_empty_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"train\.jsonl: no such file"):
        read_split(tmp_path, "train")
    write_rows(tmp_path / "eval.jsonl", [])
    with pytest.raises(JobError, match=r"eval\.jsonl: holds no row"):
        read_split(tmp_path, "eval")


def test_rows_come_back_as_they_were_whatever_their_letters(tmp_path: Path) -> None:
    rows: list[Row] = [{"id": "a", "prompt": "Für\u2028\u0085 \n\\"}, {"id": "b", "n": 1.5, "flags": [True, None]}]
    write_rows(tmp_path / "rows.jsonl", rows)
    assert read_rows(tmp_path / "rows.jsonl") == rows
