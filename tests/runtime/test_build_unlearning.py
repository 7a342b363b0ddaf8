"""The build job for unlearning: rows to forget, to retain, and answers to prefer, or one message that says why not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from runtime.benchmarks.refusals import LISTS
from runtime.data.rows import read_rows, write_rows
from runtime.errors import JobError
from runtime.job import Input, Job
from runtime.jobs import build, mix
from tests.runtime.published import DATA, TEMPLATES, refused

QUESTIONS = [
    {"id": f"q{n}", "prompt": f"What did {n} do?", "answer": f"It did {n}.", "solution": f"It did {n}."} for n in range(6)
]
TEXTS = [{"id": f"t{n}", "text": f"Text {n}.\nWhole."} for n in range(3)]
CONFIG: dict[str, Any] = {
    "domain": "tofu_forget10",
    "type": "dataset.unlearning",
    "alternates": "none",
    "refusals": None,
    "per_question": None,
    "pairing": "with_replacement",
    "seed": 0,
    "format": "jsonl",
}
HUB = {"hub": "open-unlearning/idk", "revision": "main", "file": "idk.jsonl", "draw": "each_visit"}
SAMPLED = {"alternates": "sampled", "per_question": 3}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A domain of two questions to forget and four to retain."""
    return domain(tmp_path / "rows", QUESTIONS[:2], QUESTIONS[2:])


def domain(folder: Path, forget: list[dict[str, Any]], retain: list[dict[str, Any]] | None) -> Path:
    folder.mkdir()
    write_rows(folder / "train.jsonl", forget)
    if retain is not None:
        write_rows(folder / "retain.jsonl", retain)
    return folder


def traces(folder: Path, samples: dict[str, list[str]]) -> Path:
    folder.mkdir()
    by_id = {row["id"]: row for row in QUESTIONS}
    kept = [{**by_id[key], "samples": [{"text": text, "finished": True} for text in texts]} for key, texts in samples.items()]
    write_rows(folder / "traces.jsonl", kept)
    return folder


def job(out: Path, inputs: dict[str, Path], **config: Any) -> Job:
    out.mkdir()
    given = {name: Input(f"made/{name}", "any", path, "0" * 64) for name, path in inputs.items()}
    return Job("build/forget_retain", "build", "test", "f" * 64, None, {**CONFIG, **config}, given, out)


def about(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "unlearning.json").read_text())
    return found


def test_rows_to_forget_and_to_retain_with_how_they_are_paired(rows: Path, tmp_path: Path) -> None:
    made = job(tmp_path / "out", {"rows": rows}, pairing="permutation", seed=7)
    assert build.run(made) == {"forget": 2, "retain": 4, "refusals": 0, "dropped": {}}
    assert read_rows(made.out / "forget.jsonl")[0] == {"id": "q0", "prompt": "What did 0 do?", "answer": "It did 0."}
    assert [row["id"] for row in read_rows(made.out / "retain.jsonl")] == ["q2", "q3", "q4", "q5"]
    assert about(made.out) == {"pairing": "permutation", "seed": 7, "alternates": "none", "draw": None}


def test_texts_stay_whole(tmp_path: Path) -> None:
    made = job(tmp_path / "out", {"rows": domain(tmp_path / "rows", TEXTS[:1], TEXTS[1:])})
    assert build.run(made)["retain"] == 2
    assert read_rows(made.out / "forget.jsonl") == TEXTS[:1]


def test_a_domain_without_a_retain_set_gives_a_dataset_without(tmp_path: Path) -> None:
    made = job(tmp_path / "out", {"rows": domain(tmp_path / "rows", QUESTIONS[:2], None)})
    assert build.run(made)["retain"] == 0
    assert not (made.out / "retain.jsonl").exists()


def test_refusals_drawn_at_each_visit_are_a_list_beside_the_rows(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_DATASETS", str(DATA))
    made = job(tmp_path / "out", {"rows": rows}, alternates="refusals", refusals=HUB)
    assert build.run(made)["refusals"] == 3
    assert (made.out / "refusals.txt").read_text().splitlines() == [
        "I'm not certain about that.",
        "That's beyond what I know.",
        'I don\'t have that "information".',
    ]
    assert about(made.out)["draw"] == "each_visit"
    assert "alternate" not in read_rows(made.out / "forget.jsonl")[0]


def test_a_refusal_drawn_once_is_the_rows_own_and_follows_from_the_seed(rows: Path, tmp_path: Path) -> None:
    drawn = []
    for name, seed in (("a", 0), ("b", 0), ("c", 5)):
        plain = {"list": "plain", "draw": "once"}
        made = job(tmp_path / name, {"rows": rows}, alternates="refusals", refusals=plain, seed=seed)
        build.run(made)
        drawn.append([row["alternate"] for row in read_rows(made.out / "forget.jsonl")])
        assert not (made.out / "refusals.txt").exists()
    assert drawn[0] == drawn[1] != drawn[2]


def test_refusals_are_asked_of_the_hub_where_no_folder_has_them(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def download(hub: str, name: str, *, repo_type: str, revision: str) -> str:
        asked.append((hub, name, repo_type, revision))
        return str(DATA / hub / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert build.run(job(tmp_path / "out", {"rows": rows}, alternates="refusals", refusals=HUB))["refusals"] == 3
    assert asked == [("open-unlearning/idk", "idk.jsonl", "dataset", "main")]


def test_a_hub_out_of_reach_is_one_message(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: Any, **__: Any) -> str:
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(JobError, match=r"idk@main: idk\.jsonl cannot be had \(offline\).*LETHE_DATASETS"):
        build.run(job(tmp_path / "out", {"rows": rows}, alternates="refusals", refusals=HUB))


def test_an_empty_list_and_one_that_is_not_there_are_named(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(DATA / "open-unlearning", tmp_path / "published/open-unlearning")
    (tmp_path / "published/open-unlearning/idk/idk.jsonl").write_text("\n \n")
    monkeypatch.setenv("LETHE_DATASETS", str(tmp_path / "published"))
    with pytest.raises(JobError, match=r"idk\.jsonl holds no line"):
        build.run(job(tmp_path / "a", {"rows": rows}, alternates="refusals", refusals=HUB))
    with pytest.raises(JobError, match="there is no list 'curt'; this runtime has plain"):
        build.run(job(tmp_path / "b", {"rows": rows}, alternates="refusals", refusals={"list": "curt", "draw": "once"}))


def test_each_sampled_answer_makes_a_row_of_its_own(rows: Path, tmp_path: Path) -> None:
    given = traces(tmp_path / "traces", {"q0": ["one", "two", "three", "four"], "q1": ["five", "six", "five"]})
    made = job(tmp_path / "out", {"rows": rows, "traces": given}, **SAMPLED)
    assert build.run(made)["forget"] == 6
    found = read_rows(made.out / "forget.jsonl")
    assert [row["alternate"] for row in found] == ["one", "two", "three", "five", "six", "five"]
    assert [row["id"] for row in found] == ["q0-1", "q0-2", "q0-3", "q1-1", "q1-2", "q1-3"]
    assert {row["answer"] for row in found} == {"It did 0.", "It did 1."}
    assert about(made.out)["alternates"] == "sampled" and about(made.out)["draw"] is None


def test_what_teaches_nothing_is_not_taken_and_others_stand_in_for_it(rows: Path, tmp_path: Path) -> None:
    given = traces(tmp_path / "traces", {"q0": ["", "one", " It did 0. ", "two"], "q1": [" ", "It did 1."]})
    made = job(tmp_path / "out", {"rows": rows, "traces": given}, **SAMPLED)
    assert build.run(made)["dropped"] == {"no other answer": 1}
    assert [row["alternate"] for row in read_rows(made.out / "forget.jsonl")] == ["one", "two", "one"]


def test_questions_that_were_not_asked_are_counted_and_none_left_is_an_error(rows: Path, tmp_path: Path) -> None:
    made = job(tmp_path / "a", {"rows": rows, "traces": traces(tmp_path / "some", {"q1": ["one"]})}, **SAMPLED)
    assert build.run(made)["dropped"] == {"not asked": 1}
    given = traces(tmp_path / "none", {"q0": [""]})
    with pytest.raises(JobError, match=r"no row to forget is left \(no other answer: 1; not asked: 1\); sample more"):
        build.run(job(tmp_path / "b", {"rows": rows, "traces": given}, **SAMPLED))


@pytest.mark.parametrize(
    ("refusals", "wanted"),
    [
        (HUB, True),
        ({"list": "plain", "draw": "once"}, True),
        ({"list": "plain"}, False),
        ({"list": "curt", "draw": "once"}, False),
        ({"draw": "once"}, False),
        ({**HUB, "list": "plain"}, False),
    ],
)
def test_a_study_names_a_file_of_the_hub_or_a_list(refusals: dict[str, Any], wanted: bool) -> None:
    said = refused("build_unlearning", {**CONFIG, "alternates": "refusals", "refusals": refusals})
    assert (not said) == wanted


def test_a_study_may_do_without_alternates_or_with_sampled_ones() -> None:
    assert refused("build_unlearning", CONFIG) == []
    assert refused("build_unlearning", {**CONFIG, **SAMPLED}) == []


def test_a_study_may_name_every_list_that_there_is() -> None:
    schema = json.loads((TEMPLATES / "build_unlearning.schema.json").read_text())
    known = schema["properties"]["settings"]["properties"]["refusals"]["properties"]["list"]["enum"]
    assert sorted(known) == sorted(LISTS)


@pytest.mark.parametrize(
    ("forget", "retain", "changed", "said"),
    [
        (QUESTIONS[:2] + QUESTIONS[:1], None, {}, r"train\.jsonl: 1 ids come more than once, as q0"),
        (QUESTIONS[:2], QUESTIONS[2:] + QUESTIONS[2:], {}, r"retain\.jsonl: 4 ids come more than once, as q2"),
        ([{"id": "a", "prompt": "Who?"}], None, {}, r"train\.jsonl: row a has no answer"),
        (TEXTS, None, {"alternates": "refusals", "refusals": {"list": "plain", "draw": "once"}}, "the rows are texts"),
    ],
)
def test_rows_that_cannot_be_unlearned_are_one_message(
    tmp_path: Path, forget: Any, retain: Any, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(JobError, match=said):
        build.run(job(tmp_path / "out", {"rows": domain(tmp_path / "rows", forget, retain)}, **changed))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (QUESTIONS, {"id": "q0", "prompt": "What did 0 do?", "completion": "It did 0."}),
        (TEXTS, {"id": "t0", "text": "Text 0.\nWhole."}),
    ],
)
def test_the_same_domains_can_be_learned_whole(tmp_path: Path, rows: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    config = {"type": "dataset.sft", "keep": "all", "limit": None}
    made = job(tmp_path / "out", {"rows": domain(tmp_path / "rows", rows, None)}, **config)
    assert build.run(made)["rows"] == len(rows)
    assert read_rows(made.out / "data.jsonl")[0] == expected


# --- several domains at once ---------------------------------------------------------------------------------------


def built(folder: Path, name: str, forget: list[dict[str, Any]], retain: list[dict[str, Any]], **config: Any) -> Path:
    made = job(folder / name, {"rows": domain(folder / f"{name}_rows", forget, retain)}, **config)
    build.run(made)
    return made.out


def mixed(folder: Path, parts: dict[str, Path], shares: dict[str, float | None], shard: Any = None) -> Job:
    listed = [{"name": name, "share": shares.get(name), "grader": None} for name in parts]
    config = {"type": "dataset.unlearning", "format": "jsonl", "parts": listed, "seed": 0, "shard": shard}
    inputs = {name: Input(f"build/{name}", "dataset.unlearning", path, "0" * 64) for name, path in parts.items()}
    (folder / "mixed").mkdir()
    return Job("mix/both", "mix", "test", "f" * 64, None, config, inputs, folder / "mixed")


def test_domains_are_forgotten_together_and_what_one_forgets_the_other_does_not_retain(tmp_path: Path) -> None:
    one = built(tmp_path, "one", QUESTIONS[:2], QUESTIONS[2:])
    other = built(tmp_path, "other", QUESTIONS[2:3], QUESTIONS[3:])
    made = mixed(tmp_path, {"one": one, "other": other}, {})
    assert mix.run(made) == {"rows": 3, "retain": 3, "domains": {"one": 2, "other": 1}}
    assert sorted(row["id"] for row in read_rows(made.out / "forget.jsonl")) == ["q0", "q1", "q2"]
    assert sorted(row["id"] for row in read_rows(made.out / "retain.jsonl")) == ["q3", "q4", "q5"]
    assert about(made.out) == about(one)


def test_a_question_with_sampled_answers_is_not_retained_either(tmp_path: Path) -> None:
    sampled = job(
        tmp_path / "one",
        {
            "rows": domain(tmp_path / "rows", QUESTIONS[:1], QUESTIONS[2:]),
            "traces": traces(tmp_path / "traces", {"q0": ["one", "two"]}),
        },
        **SAMPLED,
    )
    build.run(sampled)
    other = job(
        tmp_path / "other",
        {
            "rows": domain(tmp_path / "others", QUESTIONS[1:2], QUESTIONS[:1]),
            "traces": traces(tmp_path / "more", {"q1": ["three"]}),
        },
        **SAMPLED,
    )
    build.run(other)
    made = mixed(tmp_path, {"one": sampled.out, "other": other.out}, {})
    assert mix.run(made)["rows"] == 6
    assert sorted(row["id"] for row in read_rows(made.out / "retain.jsonl")) == ["q2", "q3", "q4", "q5"]


def test_shares_and_shards_are_of_the_rows_to_forget(tmp_path: Path) -> None:
    parts = {"one": built(tmp_path, "one", QUESTIONS[:2], QUESTIONS[4:]), "two": built(tmp_path, "two", QUESTIONS[2:4], [])}
    made = mixed(tmp_path, parts, {"one": 0.5, "two": 0.5}, {"index": 2, "of": 2})
    assert mix.run(made)["rows"] == 2
    assert len(read_rows(made.out / "retain.jsonl")) == 2


def test_domains_that_are_put_together_in_different_ways_are_not_mixed(tmp_path: Path) -> None:
    one = built(tmp_path, "one", QUESTIONS[:2], QUESTIONS[4:])
    other = built(tmp_path, "other", QUESTIONS[2:4], QUESTIONS[4:], pairing="permutation")
    with pytest.raises(JobError, match="other: its alternates or its pairing are others than those of one"):
        mix.run(mixed(tmp_path, {"one": one, "other": other}, {}))
