"""Job `prepare` on data sets of the hub: their own columns become rows, whose solutions their graders take for right."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml

from runtime.data.rows import read_split
from runtime.errors import JobError
from runtime.graders import grade, grade_many
from runtime.graders.selftest import check_grader
from runtime.job import Job
from runtime.jobs import prepare
from tests.runtime.hub_folder import lay_out, records

MakeJob = Callable[..., Job]
Values = dict[str, Any]
CATALOG = Path(__file__).parents[2] / "specs" / "catalog"
TESTS = {"most": 10, "longest": 10000, "seconds": 2, "mebibytes": 128}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def catalog(domain: str) -> Values:
    """The settings of a domain as the catalog has them."""
    for file in ("domains.yaml", "hub_domains.yaml"):
        found = yaml.safe_load((CATALOG / file).read_text(encoding="utf-8"))["domains"].get(domain, {})
        if "settings" in found:
            return copy.deepcopy(found["settings"])
    raise LookupError(domain)


def prepared(make_job: MakeJob, settings: Mapping[str, Any]) -> tuple[list[Values], list[Values], Mapping[str, Any]]:
    """Training rows, evaluation rows and facts of the job."""
    job = make_job("prepare/x", settings, {})
    facts = prepare.run(job)
    return read_split(job.out, "train"), read_split(job.out, "eval"), facts


def one_config(tmp_path: Path, settings: Values, rows: list[Values], held_out: int) -> Values:
    """The settings with a folder in the hub's place, whose evaluation split is the last rows."""
    splits = {settings["splits"]["train"]: rows[:-held_out], settings["splits"]["eval"]: rows[-held_out:]}
    folder = lay_out(tmp_path / settings["hub"].rpartition("/")[2], {settings["config"]: splits})
    return {**settings, "hub": str(folder)}


def test_gsm8k_has_its_answer_behind_hashes_and_its_solution_in_a_box(make_job: MakeJob, tmp_path: Path) -> None:
    settings = one_config(tmp_path, catalog("math"), records("gsm8k"), 3) | {"train": 4, "eval": 2}
    train, evaluation, _ = prepared(make_job, settings)
    ada = next(row for row in train if "Ada" in row["prompt"])
    assert ada["answer"] == "7"
    assert ada["solution"] == "Ada starts with 3 apples.\nAda then has 3 + 4 = 7 apples.\n\\boxed{7}"
    assert ada["prompt"].startswith("Ada has 3 apples")
    assert ada["prompt"].endswith("within \\boxed{}.")
    assert ada["id"] == "gsm8k-train-000000"
    assert {row["answer"] for row in evaluation} == {"10", "1240"}
    check_grader("math", train)


def test_what_is_left_out_is_counted_for_each_reason(make_job: MakeJob, tmp_path: Path) -> None:
    settings = one_config(tmp_path, catalog("math"), records("gsm8k"), 3) | {"train": 4}
    with pytest.raises(JobError, match=r"eval: .* gives 2 rows, not 3 \(no answer behind ####: 1\); ask for fewer"):
        prepared(make_job, settings | {"eval": 3})


def test_the_seven_subjects_of_math_are_put_together_whatever_their_boxes_hold(make_job: MakeJob, tmp_path: Path) -> None:
    by_config: dict[str, list[Values]] = {}
    for row in records("hendrycks_math"):
        by_config.setdefault(row.pop("config"), []).append(row)
    test = [{"problem": "What is $2+2$?", "level": "Level 1", "type": "Algebra", "solution": "\\boxed{4}"}]
    folder = lay_out(tmp_path / "math", {config: {"train": found, "test": test} for config, found in by_config.items()})
    settings = catalog("hendrycks_math") | {"hub": str(folder)}
    train, evaluation, _ = prepared(make_job, settings | {"train": 8, "eval": 7})
    assert {row["answer"] for row in train} == {
        "2,3", "\\frac{1}{4}", "\\dfrac16", "\\frac{\\sqrt{3}}{2}", "[-1,1]", "3", "2", "-1",
    }  # fmt: skip
    assert [row["answer"] for row in evaluation] == ["4"] * 7
    assert grade("math", next(row for row in train if row["answer"] == "2,3"), "\\boxed{3,2}")
    check_grader("math", train)


def test_trivia_qa_pays_for_every_alias_and_for_no_list_of_them(make_job: MakeJob, tmp_path: Path) -> None:
    settings = one_config(tmp_path, catalog("triviaqa"), records("trivia_qa"), 2) | {"train": 4, "eval": 2}
    train, _, _ = prepared(make_job, settings)
    play = next(row for row in train if "Hamlet" in row["prompt"])
    assert play["answer"] == play["solution"] == "William Shakespeare"
    assert all(grade_many("qa", [play] * 3, ["shakespeare", "the bard", "William Shakespeare."]))
    check_grader("qa", train)


def test_natural_questions_give_their_first_alias_and_leave_out_what_has_none(make_job: MakeJob, tmp_path: Path) -> None:
    settings = one_config(tmp_path, catalog("qa"), records("nq_open"), 3) | {"train": 3, "eval": 2}
    train, evaluation, _ = prepared(make_job, settings)
    assert {row["solution"] for row in train} == {"Paris", "Leonardo da Vinci", "8"}
    assert {row["answer"] for row in evaluation} == {"9 November 1989", "the Nile"}
    assert grade("qa", next(row for row in train if row["answer"] == "8"), "eight")
    check_grader("qa", train)


@pytest.mark.parametrize(("shown", "astray"), [({}, False), ({"supporting": None}, True), ({"context": None}, None)])
def test_hotpot_qa_shows_the_paragraphs_that_are_asked_for(
    make_job: MakeJob, tmp_path: Path, shown: Values, astray: bool | None
) -> None:
    settings = one_config(tmp_path, catalog("hotpotqa"), records("hotpot_qa"), 2) | {"train": 3, "eval": 2}
    train, _, _ = prepared(make_job, {**settings, "columns": settings["columns"] | shown})
    emil = next(row for row in train if "Emil" in row["prompt"])
    assert ("leads astray" in emil["prompt"]) is bool(astray)
    assert ("Erich Kästner: Erich Kästner was a writer. He was born in Dresden, Germany." in emil["prompt"]) is (
        astray is not None
    )
    assert emil["prompt"].index("In which country") > emil["prompt"].find("Dresden")
    check_grader("qa", train)


def test_code_contests_give_tests_and_the_shortest_python_3_solution_that_passes_them(
    make_job: MakeJob, tmp_path: Path
) -> None:
    settings = one_config(tmp_path, catalog("code"), [*records("code_contests"), *records("code_contests")[:2]], 2)
    settings = settings | {"train": 2, "eval": 2, "tests": TESTS}
    train, evaluation, _ = prepared(make_job, settings)
    assert {row["id"] for row in train} == {"code_contests-train-000002", "code_contests-train-000005"}
    added = next(row for row in evaluation if "sum of two" in row["prompt"])
    assert added["tests"] == [{"input": "1 2\n", "output": "3\n"}, {"input": "-5 5\n", "output": "0\n"}]
    assert added["limits"] == {"seconds": 2, "mebibytes": 128}
    assert all(grade_many("code", train, [row["solution"] for row in train]))
    assert grade_many("code", [added] * 2, ["print(sum(map(int, input().split())))", "print(3)"]) == [True, False]
    check_grader("code", train)


def test_of_several_solutions_the_shortest_right_one_is_learned_and_long_tests_are_left_out(
    make_job: MakeJob, tmp_path: Path
) -> None:
    settings = one_config(tmp_path, catalog("code"), records("code_contests")[:4], 1)
    train, evaluation, facts = prepared(make_job, settings | {"train": 3, "eval": 1, "tests": TESTS | {"longest": 50}})
    solutions = {row["id"][-1]: row["solution"] for row in train}
    assert solutions["0"] == "```python\nprint(sum(map(int, input().split())))\n```"
    assert [len(row["tests"]) for row in sorted(train, key=lambda row: row["id"])] == [2, 2, 1]
    assert evaluation[0]["solution"] == ""
    assert "dropped_train" not in facts


def test_problems_that_no_stored_program_solves_are_left_out_and_counted(make_job: MakeJob, tmp_path: Path) -> None:
    rows = records("code_contests")
    settings = one_config(tmp_path, catalog("code"), [*rows[1:], rows[0]], 1) | {"train": 4, "eval": 1, "tests": TESTS}
    with pytest.raises(JobError, match=r"gives 3 rows, not 4 \(no solution that its grader takes: 2\); ask for fewer"):
        prepared(make_job, settings)


def test_taco_is_json_in_text_and_calls_of_functions_are_left_out(make_job: MakeJob, tmp_path: Path) -> None:
    settings = one_config(tmp_path, catalog("taco"), records("taco"), 1) | {"train": 2, "eval": 1, "tests": TESTS}
    train, _, _ = prepared(make_job, settings)
    doubled = next(row for row in train if "Double" in row["prompt"])
    assert doubled["tests"][1] == {"input": "1\n7", "output": "14"}
    vowels = next(row for row in train if "vowels" in row["prompt"])
    assert vowels["solution"] == "```python\nw = input()\nprint(sum(c in 'aeiou' for c in w))\n```"
    with pytest.raises(JobError, match=r"gives 2 rows, not 3 \(its tests call a function: 1\)"):
        prepare.run(make_job("more", settings | {"train": 3}, {}))
    check_grader("code", train)


def test_the_seed_decides_the_draw_and_both_draws_of_one_split_are_disjoint(make_job: MakeJob, tmp_path: Path) -> None:
    rows = [{"problem": f"What is {n}+1?", "answer": str(n + 1), "difficulty": "3/8"} for n in range(60)]
    folder = lay_out(tmp_path / "polaris", {"default": {"train": rows}})
    settings = catalog("polaris_math") | {"hub": str(folder), "train": 30, "eval": 20}
    drawn = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        job = make_job(name, settings | {"seed": seed}, {})
        prepare.run(job)
        drawn.append([read_split(job.out, split) for split in ("train", "eval")])
    assert drawn[0] == drawn[1] != drawn[2]
    train, evaluation = drawn[0]
    assert len({row["prompt"] for row in train + evaluation}) == 50
    assert train[0]["solution"] == f"\\boxed{{{train[0]['answer']}}}"


def test_a_training_question_that_is_evaluated_is_left_out(make_job: MakeJob, tmp_path: Path) -> None:
    rows = records("gsm8k")[:6]
    settings = one_config(tmp_path, catalog("math"), [*rows, rows[0], rows[1]], 2)
    train, evaluation, _ = prepared(make_job, settings | {"train": 4, "eval": 2})
    assert not {row["prompt"] for row in train} & {row["prompt"] for row in evaluation}
    with pytest.raises(JobError, match=r"train: .* gives 4 rows, not 5 \(its prompt is evaluated: 2\); ask for fewer"):
        prepare.run(make_job("more", settings | {"train": 5, "eval": 2}, {}))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"columns": {"question": "query", "answer": "answer", "solution": "answer"}},
            "there is no column 'query'; it has question, answer",
        ),
        ({"config": "socratic"}, "'socratic' not found. Available: .'main'."),
        ({"splits": {"train": "train", "eval": "dev"}}, 'Unknown split "dev"'),
        ({"form": "trivia_qa"}, "record . is not of form trivia_qa .AttributeError"),
        ({"form": "sonnet"}, "there is no 'sonnet'; this runtime has gsm8k, boxed"),
        ({"hub": "/nowhere/at/all"}, "there is no such folder"),
        ({"train": 400}, "train: .* gives . rows, not 400"),
        ({"eval": 400}, "eval: .* gives . rows, not 400"),
    ],
)
def test_what_does_not_fit_the_data_is_told_and_leaves_nothing(
    make_job: MakeJob, tmp_path: Path, changed: Values, said: str
) -> None:
    settings = one_config(tmp_path, catalog("math"), records("gsm8k"), 3) | {"train": 3, "eval": 2}
    job = make_job("prepare/x", settings | changed, {})
    with pytest.raises(JobError, match=said):
        prepare.run(job)
    assert not list(job.out.iterdir())


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (
            datasets.exceptions.DatasetNotFoundError("Dataset 'openai/gsm8k' is a gated dataset on the Hub."),
            "is gated: ask for access at https://huggingface.co/datasets/openai/gsm8k, then set HF_TOKEN",
        ),
        (
            datasets.exceptions.DatasetNotFoundError("Dataset 'openai/gsm8k' doesn't exist on the Hub or cannot be accessed."),
            "Check the name and the revision",
        ),
        (
            ConnectionError("Couldn't reach 'openai/gsm8k' on the Hub (OfflineModeIsEnabled)"),
            "run this script on a machine that has a network",
        ),
        (RuntimeError("Dataset scripts are no longer supported, but found gsm8k.py"), "refs/convert/parquet"),
    ],
)
def test_a_data_set_that_cannot_be_had_says_what_to_do(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, raised: Exception, said: str
) -> None:
    asked = []

    def load(*given: Any, **named: Any) -> None:
        asked.append((*given, named))
        raise raised

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(JobError, match=said):
        prepare.run(make_job("prepare/x", catalog("math") | {"revision": "abc123"}, {}))
    assert asked == [("openai/gsm8k", "main", {"split": "test", "revision": "abc123"})]
