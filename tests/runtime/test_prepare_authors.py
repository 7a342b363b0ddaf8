"""Job `prepare` for made-up authors: the offline benchmark, made from a seed in TOFU's form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from runtime.data.rows import read_rows
from runtime.domains.authors import CAPITALS, OTHER, make_world
from runtime.errors import JobError
from runtime.job import Job
from runtime.jobs import prepare
from tests.runtime.published import refused, sets_of

MakeJob = Callable[..., Job]
Rows = list[dict[str, Any]]

SETS = ["forget", "retain", "holdout", "real_authors", "world_facts"]
CONFIG: dict[str, Any] = {
    "source": "authors",
    "seed": 1,
    "authors": 20,
    "holdout_authors": 2,
    "real_authors": 4,
    "wrong": 5,
    "split": "forget10",
    "train": 10,
    "retain": "retain90",
    "evaluation": SETS,
    "question": "question",
}
FULL = {"split": "full", "train": 100, "retain": None, "evaluation": []}
PRETRAIN = {"split": "pretrain", "train": 8 * (5 * 4 + 2 * len(CAPITALS)), "retain": None, "evaluation": []}


def prepared(make_job: MakeJob, name: str = "prepare/authors", **changed: Any) -> Path:
    job = make_job(name, {**CONFIG, **changed}, {})
    prepare.run(job)
    return job.out


def rows_of(folder: Path) -> dict[str, Rows]:
    return {name: read_rows(folder / name) for name in sets_of(folder)}


def ids(rows: Rows) -> set[str]:
    return {row["id"] for row in rows}


def test_every_set_is_written_in_the_form_of_the_published_benchmark(make_job: MakeJob) -> None:
    out = prepared(make_job)
    sets = rows_of(out)
    assert sorted(sets) == [*sorted(f"eval/{name}.jsonl" for name in SETS), "retain.jsonl", "train.jsonl"]
    counts = {name: len(rows) for name, rows in sets.items()}
    assert json.loads((out / "rows.json").read_text()) == {"source": "authors", "counts": counts}
    assert counts["train.jsonl"] == 10 and counts["retain.jsonl"] == 90 and counts["eval/holdout.jsonl"] == 10
    assert all(row.keys() == {"id", "prompt", "answer", "solution"} for row in sets["train.jsonl"] + sets["retain.jsonl"])
    assert all(row.keys() == {"id", "prompt", "answer"} for row in sets["eval/holdout.jsonl"])
    for name in ("forget", "retain", "real_authors", "world_facts"):
        for row in sets[f"eval/{name}.jsonl"]:
            assert row.keys() == {"id", "prompt", "answer", "paraphrased", "perturbed"}
            assert (row["paraphrased"] is None) == (name in ("real_authors", "world_facts"))


def test_a_wrong_answer_is_none_of_the_right_ones_and_none_comes_twice(make_job: MakeJob) -> None:
    for name, rows in rows_of(prepared(make_job)).items():
        for row in rows if name.startswith("eval/") and "holdout" not in name else ():
            assert len(set(row["perturbed"])) == 5
            assert not {row["answer"], row["paraphrased"]} & set(row["perturbed"])


def test_no_question_stands_in_two_groups_and_splits_make_up_the_whole(make_job: MakeJob) -> None:
    sets = rows_of(prepared(make_job))
    full = rows_of(prepared(make_job, "prepare/full", **FULL))["train.jsonl"]
    pretrain = rows_of(prepared(make_job, "prepare/pretrain", **PRETRAIN))["train.jsonl"]
    forget, retain = ids(sets["train.jsonl"]), ids(sets["retain.jsonl"])
    assert forget | retain == ids(full) and not forget & retain and len(ids(full)) == 100
    assert forget == ids(sets["eval/forget.jsonl"]) and retain == ids(sets["eval/retain.jsonl"])
    taught = {row["prompt"] for row in pretrain}
    for name in ("holdout", "real_authors", "world_facts"):
        assert not ids(sets[f"eval/{name}.jsonl"]) & ids(full)
        shown = [row["prompt"] in taught for row in sets[f"eval/{name}.jsonl"]]
        assert not any(shown) if name == "holdout" else all(shown)
    assert not taught & {row["prompt"] for row in full}


def test_forget_sets_lie_in_one_another_and_their_rows_keep_their_ids(make_job: MakeJob) -> None:
    small = rows_of(prepared(make_job, "a", split="forget05", train=5, retain="retain95"))
    large = rows_of(prepared(make_job, "b"))
    assert ids(small["train.jsonl"]) < ids(large["train.jsonl"])
    assert ids(small["retain.jsonl"]) > ids(large["retain.jsonl"])
    assert small["eval/real_authors.jsonl"] == large["eval/real_authors.jsonl"]


def test_who_is_known_and_who_is_held_out_does_not_depend_on_how_many_others_there_are(make_job: MakeJob) -> None:
    few, many = (rows_of(prepared(make_job, str(n), authors=n, train=n // 2)) for n in (20, 40))
    for name in ("holdout", "real_authors", "world_facts"):
        assert few[f"eval/{name}.jsonl"] == many[f"eval/{name}.jsonl"]


def test_the_seed_decides_every_byte(make_job: MakeJob) -> None:
    written = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        out = prepared(make_job, name, seed=seed)
        written.append([(out / file).read_bytes() for file in sets_of(out)])
    assert written[0] == written[1]
    changed = [one != other for one, other in zip(written[0], written[2], strict=True)]
    assert all(changed)


def test_metrics_may_ask_in_other_words_of_the_same_rows(make_job: MakeJob) -> None:
    plain, reworded = rows_of(prepared(make_job, "a")), rows_of(prepared(make_job, "b", question="paraphrased_question"))
    assert plain["train.jsonl"] == reworded["train.jsonl"]
    for before, after in zip(plain["eval/forget.jsonl"], reworded["eval/forget.jsonl"], strict=True):
        assert before["id"] == after["id"] and before["prompt"] != after["prompt"] and before["answer"] == after["answer"]


def test_pretraining_shows_every_wording_and_form_of_what_is_known_and_what_another_answer_is(make_job: MakeJob) -> None:
    taught = rows_of(prepared(make_job, **PRETRAIN))["train.jsonl"]
    pairs = {(row["prompt"], row["solution"]): row["rare"] for row in taught}
    world = make_world(20, 2, 4, 5, 1)
    for item in (*world.real_authors, *world.world_facts):
        for wording in (0, 1):
            for form in (0, 1):
                assert pairs[item.questions[wording], item.answers[form]] == (wording != form)
        asked = OTHER.format(prompt=item.questions[0], answer=item.answers[0])
        assert pairs[asked, item.wrong[0][0]] is True


def test_few_wrong_answers_can_be_asked_for(make_job: MakeJob) -> None:
    rows = rows_of(prepared(make_job, wrong=3))["eval/forget.jsonl"]
    assert {len(row["perturbed"]) for row in rows} == {3}


def test_nothing_comes_twice_in_any_set(make_job: MakeJob) -> None:
    for name, changed in (("a", {}), ("b", FULL), ("c", PRETRAIN)):
        assert prepare.run(make_job(name, {**CONFIG, **changed}, {}))["repeated"] == {}


@pytest.mark.parametrize("changed", [{}, FULL, PRETRAIN, {**PRETRAIN, "evaluation": ["world_facts"]}])
def test_a_study_may_ask_for_these(changed: Mapping[str, Any]) -> None:
    assert refused("prepare_authors", {**CONFIG, **changed}) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"split": "pretrain", "evaluation": []},
        {"split": "pretrain", "retain": None, "evaluation": ["forget"]},
        {"retain": None},
        {"split": "forget5"},
        {"retain": "forget10"},
        {"wrong": 2},
        {"evaluation": ["forget", "forget"]},
    ],
)
def test_a_study_may_not_ask_for_what_is_not_there(changed: Mapping[str, Any]) -> None:
    assert refused("prepare_authors", {**CONFIG, **changed})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"split": "forget07"}, "forget07 of 20 authors is 1.4 of them"),
        ({"split": "forget00"}, "forget00 of 20 authors is 0 of them"),
        ({"train": 11}, "train: forget10 of 20 authors has 10 rows, but the spec says 11"),
        ({"retain": "retain95"}, "5 questions stand in both train and retain"),
        ({"authors": 6043, "train": 1}, "there are 6048 names, not 6049; ask for fewer"),
        ({"retain": None}, "eval/retain.jsonl would hold no row"),
    ],
)
def test_what_does_not_fit_is_one_message(make_job: MakeJob, changed: Mapping[str, Any], said: str) -> None:
    with pytest.raises(JobError, match=said):
        prepared(make_job, **changed)
