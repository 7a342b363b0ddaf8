"""Job `prepare` for MUSE: its published columns, configurations and splits become the sets that trainings and metrics read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.data.rows import read_rows
from runtime.errors import JobError
from runtime.job import Job
from runtime.jobs import prepare
from tests.runtime.published import DATA, put_published, refused, sets_of

MakeJob = Callable[..., Job]

CONFIG: dict[str, Any] = {
    "source": "muse",
    "hub": "muse-bench/MUSE-News",
    "revision": "main",
    "config": "raw",
    "split": "forget",
    "texts": 2,
    "train": None,
    "retain": "retain1",
    "evaluation": ["knowmem", "verbmem", "privleak"],
}
KNOWMEM = ["forget_knowmem", "forget_knowmem_icl", "retain_knowmem", "retain_knowmem_icl"]


@pytest.fixture(autouse=True)
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return put_published(tmp_path, monkeypatch)


def prepared(make_job: MakeJob, name: str = "prepare/muse", **changed: Any) -> Path:
    job = make_job(name, {**CONFIG, **changed}, {})
    prepare.run(job)
    return job.out


def published_texts(*parts: str) -> list[str]:
    file = DATA.joinpath("muse-bench", "MUSE-News", *parts)
    return [json.loads(line)["text"] for line in file.read_text().splitlines()]


def test_every_set_is_written_and_counted(make_job: MakeJob) -> None:
    out = prepared(make_job)
    evaluation = sorted([*KNOWMEM, "forget", "forget_verbmem", "holdout", "retain"])
    assert sets_of(out) == [*sorted(f"eval/{name}.jsonl" for name in evaluation), "retain.jsonl", "train.jsonl"]
    counts = {name: len(read_rows(out / name)) for name in sets_of(out)}
    assert json.loads((out / "rows.json").read_text()) == {"source": "muse", "counts": counts}


def test_texts_are_whole_and_a_text_has_one_id_in_every_set(make_job: MakeJob) -> None:
    out = prepared(make_job)
    train, retain = read_rows(out / "train.jsonl"), read_rows(out / "retain.jsonl")
    assert [row["text"] for row in train] == published_texts("raw", "forget-00000-of-00001.jsonl")
    assert [row["text"] for row in retain] == published_texts("raw", "retain1-00000-of-00001.jsonl")
    assert all(row.keys() == {"id", "text"} for row in [*train, *retain])
    assert read_rows(out / "eval/forget.jsonl") == train[:1]


def test_questions_and_beginnings_have_their_answers(make_job: MakeJob) -> None:
    out = prepared(make_job)
    for name in KNOWMEM:
        (row,) = read_rows(out / f"eval/{name}.jsonl")
        assert row.keys() == {"id", "prompt", "answer"} and row["answer"] == "To paint the bridge."
    (row,) = read_rows(out / "eval/forget_verbmem.jsonl")
    assert (row["prompt"], row["answer"]) == (
        "Article 1. The council of Lower Thatch met",
        " on day 1 and voted, 1 to one, to paint the bridge.",
    )


@pytest.mark.parametrize(
    ("changed", "texts"),
    [
        ({"config": "scal", "split": "forget_3", "texts": 4}, ("scal", "forget_3-00000-of-00001.jsonl")),
        ({"config": "sust", "split": "forget_2", "texts": 1}, ("sust", "forget_2-00000-of-00001.jsonl")),
        ({"config": "raw", "split": "forget", "texts": None}, ("raw", "forget-00000-of-00001.jsonl")),
    ],
)
def test_growing_sets_and_requests_are_read_where_they_are_published(
    make_job: MakeJob, changed: dict[str, Any], texts: tuple[str, str]
) -> None:
    out = prepared(make_job, **changed, evaluation=[])
    assert [row["text"] for row in read_rows(out / "train.jsonl")] == published_texts(*texts)
    assert sets_of(out) == ["retain.jsonl", "train.jsonl"]


def test_a_data_set_of_one_configuration_is_read_without_a_name(make_job: MakeJob) -> None:
    changed = {"hub": "tamarsonha/MUSE-News-Train", "config": None, "split": "retain", "texts": None, "retain": None}
    out = prepared(make_job, **changed, evaluation=[])
    assert sets_of(out) == ["train.jsonl"] and len(read_rows(out / "train.jsonl")) == 1


def test_a_text_that_is_both_to_be_forgotten_and_retained_is_counted(make_job: MakeJob, published: Path) -> None:
    file = published / "muse-bench/MUSE-News/raw/retain1-00000-of-00001.jsonl"
    file.write_text(file.read_text() + json.dumps({"text": published_texts("raw", "forget-00000-of-00001.jsonl")[0]}) + "\n")
    job = make_job("prepare/muse", CONFIG, {})
    assert prepare.run(job)["shared"] == {"train and retain": 1}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"texts": 889}, "texts: muse-bench/MUSE-News forget has 2 rows, but the spec says 889"),
        ({"split": "forget_5"}, "raw, split forget_5: cannot be read"),
        ({"config": "knowmem", "split": "forget_qa"}, "has no column text; it has question, answer"),
        ({"hub": "tamarsonha/MUSE-News-Train"}, "MUSE-News-Train raw, split forget: cannot be read"),
    ],
)
def test_what_does_not_fit_is_one_message(make_job: MakeJob, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(JobError, match=said):
        prepared(make_job, **changed)


def test_a_study_may_ask_for_this() -> None:
    assert refused("prepare_muse", CONFIG) == []
