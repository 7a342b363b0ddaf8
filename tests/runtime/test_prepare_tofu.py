"""Job `prepare` for TOFU: its published columns and configurations become the sets that trainings and metrics read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from runtime.data.rows import read_rows
from runtime.errors import JobError
from runtime.job import Job
from runtime.jobs import prepare
from tests.runtime.published import DATA, put_published, refused, sets_of

MakeJob = Callable[..., Job]

CONFIG: dict[str, Any] = {
    "source": "tofu",
    "hub": "locuslab/TOFU",
    "revision": "main",
    "split": "forget10",
    "train": 2,
    "retain": "retain90",
    "holdout": "holdout10",
    "perturbed": ["forget10_perturbed", "retain_perturbed", "real_authors_perturbed", "world_facts_perturbed"],
    "question": "question",
}
FULL = {"split": "full", "train": 6, "retain": None, "holdout": None, "perturbed": []}


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return put_published(tmp_path, monkeypatch)


def prepared(make_job: MakeJob, name: str = "prepare/tofu", **changed: Any) -> Path:
    job = make_job(name, {**CONFIG, **changed}, {})
    prepare.run(job)
    return job.out


def test_every_set_is_written_and_counted(published: Path, make_job: MakeJob) -> None:
    job = make_job("prepare/tofu", CONFIG, {})
    facts = prepare.run(job)
    evaluation = ["forget", "holdout", "real_authors", "retain", "world_facts"]
    assert sets_of(job.out) == [*(f"eval/{name}.jsonl" for name in evaluation), "retain.jsonl", "train.jsonl"]
    counts = {name: len(read_rows(job.out / name)) for name in sets_of(job.out)}
    assert json.loads((job.out / "rows.json").read_text()) == {"source": "tofu", "counts": counts}
    assert facts == {"counts": counts, "repeated": {}, "shared": {}}


def test_rows_hold_what_is_published(published: Path, make_job: MakeJob) -> None:
    out = prepared(make_job)
    given = [json.loads(line) for line in (DATA / "locuslab/TOFU/forget10_perturbed.json").read_text().splitlines()]
    trained, asked = read_rows(out / "train.jsonl"), read_rows(out / "eval/forget.jsonl")
    assert [(row["prompt"], row["answer"], row["solution"]) for row in trained] == [
        (row["question"], row["answer"], row["answer"]) for row in given
    ]
    assert [(row["paraphrased"], row["perturbed"]) for row in asked] == [
        (row["paraphrased_answer"], row["perturbed_answer"]) for row in given
    ]
    (fact,) = read_rows(out / "eval/world_facts.jsonl")
    assert fact["paraphrased"] is None and fact["perturbed"] == ["Toronto", "Montreal", "Vancouver"]
    assert read_rows(out / "eval/holdout.jsonl")[0].keys() == {"id", "prompt", "answer"}


def test_a_row_has_one_id_in_every_set_and_no_other_row_has_it(published: Path, make_job: MakeJob) -> None:
    unlearned, full = prepared(make_job), prepared(make_job, "prepare/full", **FULL)
    ids = {name: [row["id"] for row in read_rows(unlearned / name)] for name in sets_of(unlearned)}
    assert ids["train.jsonl"] == ids["eval/forget.jsonl"]
    assert {row["id"] for row in read_rows(full / "train.jsonl")} == {*ids["train.jsonl"], *ids["retain.jsonl"]}
    assert not {*ids["train.jsonl"]} & {*ids["retain.jsonl"], *ids["eval/holdout.jsonl"]}


def test_metrics_may_ask_in_other_words_of_the_same_rows(published: Path, make_job: MakeJob) -> None:
    plain, reworded = prepared(make_job), prepared(make_job, "prepare/reworded", question="paraphrased_question")
    assert (plain / "train.jsonl").read_bytes() == (reworded / "train.jsonl").read_bytes()
    before, after = read_rows(plain / "eval/forget.jsonl"), read_rows(reworded / "eval/forget.jsonl")
    assert [row["id"] for row in before] == [row["id"] for row in after]
    assert [f"Tell me: {row['prompt']}" for row in before] == [row["prompt"] for row in after]
    assert read_rows(plain / "eval/world_facts.jsonl") == read_rows(reworded / "eval/world_facts.jsonl")


def test_what_nothing_is_unlearned_of_has_neither_retain_nor_evaluation_rows(published: Path, make_job: MakeJob) -> None:
    assert sets_of(prepared(make_job, **FULL)) == ["train.jsonl"]


def test_the_hub_is_asked_at_the_revision_where_no_folder_has_the_set(
    published: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def load(hub: str, *, name: str, split: str, revision: str) -> Any:
        asked.append((hub, name, split, revision))
        return datasets.Dataset.from_list([{"question": "Who?", "answer": "She."}])

    shutil.rmtree(published)
    monkeypatch.setattr(datasets, "load_dataset", load)
    prepared(make_job, **{**FULL, "train": 1, "revision": "abc"})
    assert asked == [("locuslab/TOFU", "full", "train", "abc")]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionError("no route"), "the hub cannot be reached.*LETHE_DATASETS"),
        (datasets.exceptions.DatasetNotFoundError("is gated"), "full, split train: is gated; check its name.*HF_TOKEN"),
        (ValueError("BuilderConfig 'full' not found"), "cannot be read: BuilderConfig 'full' not found"),
    ],
)
def test_what_the_hub_will_not_give_is_one_message(
    published: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def load(*_: Any, **__: Any) -> Any:
        raise error

    shutil.rmtree(published)
    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(JobError, match=said):
        prepared(make_job, **FULL)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"train": 3}, "train: locuslab/TOFU forget10 has 2 rows, but the spec says 3"),
        ({"retain": "full"}, "2 questions stand in both train and retain"),
        ({"holdout": "retain90"}, "4 questions stand in both holdout and what is trained on"),
        ({"split": "forget07"}, "forget07, split train: cannot be read.*forget07"),
        ({"perturbed": ["forget10"]}, "has no column perturbed_answer, paraphrased_answer; it has question, answer"),
        ({"perturbed": ["forget10_perturbed", "forget10_perturbed"]}, "name one set twice"),
    ],
)
def test_what_does_not_fit_is_one_message_and_leaves_nothing(
    published: Path, make_job: MakeJob, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(JobError, match=said):
        prepared(make_job, **changed)
    assert not sets_of(published.parent / "prepare")


@pytest.mark.parametrize(
    ("file", "row", "said"),
    [
        ("full.json", {"question": "Who?", "answer": None}, "answer is None, and should be a text"),
        ("full.json", {"question": "  ", "answer": "She."}, "question is '  ', and should be a text"),
    ],
)
def test_a_row_that_is_none_is_named(published: Path, make_job: MakeJob, file: str, row: Any, said: str) -> None:
    with (published / "locuslab/TOFU" / file).open("a") as opened:
        opened.write(json.dumps(row) + "\n")
    with pytest.raises(JobError, match=said):
        prepared(make_job, **{**FULL, "train": 7})


def test_a_question_that_comes_twice_is_counted_and_can_be_told_apart(published: Path, make_job: MakeJob) -> None:
    file = published / "locuslab/TOFU/full.json"
    file.write_text(file.read_text() + file.read_text().splitlines()[0] + "\n")
    job = make_job("prepare/tofu", {**CONFIG, **FULL, "train": 7}, {})
    assert prepare.run(job)["repeated"] == {"train.jsonl": 1}
    rows = read_rows(job.out / "train.jsonl")
    assert rows[0]["prompt"] == rows[6]["prompt"] and len({row["id"] for row in rows}) == 7


def test_a_study_may_ask_for_this() -> None:
    assert refused("prepare_tofu", CONFIG) == []
