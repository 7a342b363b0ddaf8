"""The mix job: shares kept exactly, nothing drawn twice, shards that are disjoint and cover the pool; rewards row by row."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.data.datasets import read_dataset, write_dataset
from runtime.data.mixture import Part, drawn, mixed, shard
from runtime.errors import JobError
from runtime.graders import grade_many
from runtime.graders.selftest import check_grader
from runtime.job import Input, Job
from runtime.jobs import mix
from runtime.rewards import compute_score
from runtime.train.grpo import Verifier

LENGTHS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 60), min_size=2)
SHARES = st.one_of(st.integers(1, 9), st.sampled_from([0.1, 0.25, 0.3, 0.7, 1.5]))
SUM = {"id": "m0", "prompt": "1+1", "answer": "2", "solution": "2"}
FACT = {"id": "q0", "prompt": "who", "answer": "Ada", "solution": "Ada"}


def parts_of(lengths: dict[str, int], shares: dict[str, Any]) -> list[Part]:
    return [
        Part(name, shares[name], "math", [{"id": f"{name}{number}"} for number in range(size)])
        for name, size in lengths.items()
    ]


# ---- how many ---------------------------------------------------------------------------------------------------------


@given(lengths=LENGTHS, data=st.data())
def test_shares_are_kept_to_less_than_a_row_and_the_scarcest_part_goes_in_whole(
    lengths: dict[str, int], data: st.DataObject
) -> None:
    shares = {name: data.draw(SHARES) for name in lengths}
    exact = {name: Fraction(str(share)) / sum(Fraction(str(s)) for s in shares.values()) for name, share in shares.items()}
    total = min(lengths[name] / exact[name] for name in lengths)
    wanted = {name: exact[name] * total for name in lengths}
    if any(count < 1 for count in wanted.values()):
        with pytest.raises(JobError, match="gives no row"):
            drawn(lengths, shares)
        return
    counts = drawn(lengths, shares)
    assert all(0 <= wanted[name] - counts[name] < 1 for name in lengths)
    assert any(counts[name] == lengths[name] for name in lengths)


@pytest.mark.parametrize(
    ("lengths", "shares", "counts"),
    [
        ({"a": 30, "b": 100}, {"a": 1, "b": 1}, {"a": 30, "b": 30}),
        ({"a": 30, "b": 100}, {"a": 1, "b": 2}, {"a": 30, "b": 60}),
        ({"a": 70, "b": 30}, {"a": 0.7, "b": 0.3}, {"a": 70, "b": 30}),
        ({"a": 30, "b": 100}, {"a": None, "b": None}, {"a": 30, "b": 100}),
    ],
)
def test_as_many_rows_as_the_shares_allow(lengths: dict[str, int], shares: dict[str, Any], counts: dict[str, int]) -> None:
    assert drawn(lengths, shares) == counts


def test_a_share_for_some_parts_only_is_an_error() -> None:
    with pytest.raises(JobError, match="b has no share, but others have"):
        drawn({"a": 3, "b": 3}, {"a": 1, "b": None})


# ---- which, and in which order ---------------------------------------------------------------------------------------


@given(lengths=LENGTHS, seed=st.integers(0, 99), pooled=st.booleans())
def test_rows_are_drawn_once_carry_their_domain_and_depend_on_the_seed_alone(
    lengths: dict[str, int], seed: int, pooled: bool
) -> None:
    parts = parts_of(lengths, dict.fromkeys(lengths, None if pooled else 1))
    rows = mixed(parts, seed)
    assert rows == mixed(parts, seed)
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(row["id"].startswith(row["domain"]) and row["grader"] == "math" for row in rows)
    smallest = min(lengths.values())
    assert Counter(row["domain"] for row in rows) == (lengths if pooled else dict.fromkeys(lengths, smallest))


def test_another_seed_draws_and_orders_otherwise() -> None:
    parts = parts_of({"a": 50, "b": 100}, {"a": 1, "b": 1})
    one, other = mixed(parts, 0), mixed(parts, 1)
    assert {row["id"] for row in one} != {row["id"] for row in other}
    assert [row["domain"] for row in one[:20]] not in (["a"] * 20, ["b"] * 20)


@given(size=st.integers(1, 80), of=st.integers(1, 9))
def test_shards_are_disjoint_cover_the_pool_and_differ_by_one_row_at_most(size: int, of: int) -> None:
    rows = list(range(size))
    if of > size:
        with pytest.raises(JobError, match=f"shard 1 of {of} cannot be taken of {size} rows"):
            shard(rows, 1, of)
        return
    pieces = [shard(rows, index, of) for index in range(1, of + 1)]
    assert [row for piece in pieces for row in piece] == rows
    assert [len(piece) for piece in pieces] == [size // of + (index <= size % of) for index in range(1, of + 1)]


# ---- the job ----------------------------------------------------------------------------------------------------------


def make(folder: Path, out: str, parts: dict[str, list[dict[str, Any]]], part_format: str = "jsonl", **config: Any) -> Job:
    """A mix job over datasets that the build job would have written."""
    settings = {"type": "dataset.rl", "format": "jsonl", "seed": 0, "shard": None, **config}
    inputs = {}
    for name, rows in parts.items():
        path = folder / f"{out}-{name}"
        path.mkdir()
        write_dataset(path, rows, settings["type"], part_format, name)
        inputs[name] = Input(f"build/{name}", settings["type"], path, "0" * 64)
    graders = {"math": "math", "qa": "qa"}
    settings.setdefault("parts", [{"name": name, "share": None, "grader": graders[name]} for name in parts])
    (folder / out).mkdir()
    return Job("mix/both", "mix", "test", "f" * 64, None, settings, inputs, folder / out)


def many(row: dict[str, Any], count: int) -> list[dict[str, Any]]:
    return [{**row, "id": f"{row['id']}.{number}"} for number in range(count)]


def test_the_facts_count_each_domains_rows(tmp_path: Path) -> None:
    job = make(tmp_path, "out", {"math": many(SUM, 4), "qa": many(FACT, 6)})
    assert mix.run(job) == {"rows": 10, "domains": {"math": 4, "qa": 6}}
    row = next(row for row in read_dataset(job.out) if row["domain"] == "qa")
    assert row == {**FACT, "id": row["id"], "domain": "qa", "grader": "qa"}


def test_the_shards_of_one_pool_share_no_row_and_leave_none_out(tmp_path: Path) -> None:
    parts = {"math": many(SUM, 5), "qa": many(FACT, 6)}
    found = []
    for index in (1, 2, 3):
        job = make(tmp_path, f"out{index}", parts, shard={"index": index, "of": 3})
        mix.run(job)
        found += [row["id"] for row in read_dataset(job.out)]
    assert sorted(found) == sorted(row["id"] for rows in parts.values() for row in rows)


@pytest.mark.parametrize("part_format", ["jsonl", "parquet"])
def test_verl_gets_each_row_under_its_own_domain_with_its_own_grader(tmp_path: Path, part_format: str) -> None:
    job = make(tmp_path, "out", {"math": [SUM], "qa": [FACT]}, part_format, format="parquet")
    mix.run(job)
    rows = pyarrow.parquet.read_table(job.out / "train.parquet").to_pylist()
    assert {row["data_source"] for row in rows} == {"math", "qa"}
    for row in rows:
        truth = row["reward_model"]["ground_truth"]
        assert compute_score(row["data_source"], truth, truth, row["extra_info"], grader="by_row") == 1.0


def test_supervised_rows_survive_verls_columns(tmp_path: Path) -> None:
    taught = [{"id": "a", "prompt": "1+1", "completion": "2"}]
    job = make(tmp_path, "out", {"math": taught, "qa": taught}, "parquet", type="dataset.sft", format="parquet")
    mix.run(job)
    found = sorted(read_dataset(job.out), key=lambda row: str(row["domain"]))
    assert found == [{**taught[0], "domain": name, "grader": name} for name in ("math", "qa")]


def test_a_part_without_its_input_and_one_of_another_type_are_named(tmp_path: Path) -> None:
    job = make(tmp_path, "out", {"math": [SUM], "qa": [FACT]})
    with pytest.raises(JobError, match="the config has a part 'qa', but there is no input of that name"):
        mix.run(Job(job.id, "mix", "t", "f", None, job.config, {"math": job.inputs["math"]}, job.out))
    with pytest.raises(JobError, match=r"math is a dataset\.rl, but the mixture is to be a dataset\.sft"):
        mix.run(Job(job.id, "mix", "t", "f", None, {**job.config, "type": "dataset.sft"}, job.inputs, job.out))


# ---- rewards ----------------------------------------------------------------------------------------------------------

MIXTURE = [{**SUM, "grader": "math"}, {**FACT, "grader": "qa"}, {**SUM, "id": "m1", "answer": "3", "grader": "math"}]


def test_each_row_is_graded_by_its_own_grader_in_its_own_place() -> None:
    assert grade_many("by_row", MIXTURE, ["\\boxed{2}", "the Ada.", "2"]) == [True, True, False]
    assert grade_many("qa", MIXTURE, ["\\boxed{2}", "the Ada.", "2"]) == [False, True, False]


def test_grpo_rewards_a_mixture_row_by_row() -> None:
    import json

    verifier = Verifier("by_row", end_token=9)
    assert verifier(["2", "Ada", "2"], [[5, 9]] * 3, [json.dumps(row) for row in MIXTURE]) == [1.0, 1.0, 0.0]


def test_every_grader_of_a_mixture_is_proven_before_it_rewards() -> None:
    check_grader("by_row", MIXTURE[:2])
    bad = {"id": "q1", "prompt": "who", "answer": "none", "solution": "none", "grader": "qa"}
    with pytest.raises(JobError, match="grader qa: row q1 pays for"):
        check_grader("by_row", [*many(MIXTURE[0], 20), bad])


def test_a_row_without_a_grader_cannot_be_rewarded() -> None:
    with pytest.raises(JobError, match="row m0 names no grader of its own"):
        grade_many("by_row", [{**SUM, "grader": None}], ["2"])
