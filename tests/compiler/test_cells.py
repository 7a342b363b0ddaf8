"""Cells: the product of the axes, zips, sweeps, bundles, rules in their order, and names."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compiler.project import Project
from tests.compiler.small import AXES, SEVERAL, cells, jobs, plan, validate


def test_the_first_axis_is_the_outermost(project: Project) -> None:
    axes = {"domain": ["sums", "facts"], "start": ["base"], "method": ["gt_sft", "on_rl"], "scale": ["nano"]}
    expected = ["gt_sft_sums_base_nano", "on_rl_sums_base_nano", "gt_sft_facts_base_nano", "on_rl_facts_base_nano"]
    assert cells(project, axes=axes) == expected


def test_an_axis_may_be_a_setting_of_every_algorithm_that_takes_it(project: Project) -> None:
    found = plan(project, axes={**AXES, "method": ["staged"], "lr": [1e-4, 2e-4]})
    assert [cell["id"] for cell in found["cells"]] == ["staged_sums_base_nano_lr0.0001", "staged_sums_base_nano_lr0.0002"]
    rates = {name: job["settings"]["lr"] for name, job in jobs(found, "train").items()}
    assert rates == {
        "staged_sums_base_nano_lr0.0001.1_sft": 1e-4, "staged_sums_base_nano_lr0.0001": 1e-4,
        "staged_sums_base_nano_lr0.0002.1_sft": 2e-4, "staged_sums_base_nano_lr0.0002": 2e-4,
    }  # fmt: skip


def test_an_axis_may_be_a_setting_of_one_algorithm_and_what_is_the_same_is_trained_once(project: Project) -> None:
    found = plan(project, axes={**AXES, "method": ["staged"], "grpo.lr": [1e-4, 2e-4]})
    trained = jobs(found, "train")
    assert [job["settings"]["lr"] for job in trained.values() if job["what"] == "sft"] == [1e-3]
    assert [job["settings"]["lr"] for job in trained.values() if job["what"] == "grpo"] == [1e-4, 2e-4]


def test_an_axis_may_have_bundles_of_settings(project: Project) -> None:
    pace = {"slow": {"lr": 1e-5, "steps": 40}, "fast": {"lr": 1e-3, "sft.steps": 10}}
    found = plan(project, axes={**AXES, "pace": pace})
    taken = {name: (job["settings"]["lr"], job["settings"]["steps"]) for name, job in jobs(found, "train").items()}
    assert taken == {"gt_sft_sums_base_nano_slow": (1e-5, 40), "gt_sft_sums_base_nano_fast": (1e-3, 10)}
    assert found["axes"]["pace"] == ["slow", "fast"]


def test_seeds_are_an_axis_like_any_other(project: Project) -> None:
    found = plan(project, axes={**AXES, "seed": [1, 2, 3]})
    assert [job["settings"]["seed"] for job in jobs(found, "train").values()] == [1, 2, 3]
    assert len(jobs(found, "build")) == 1, "the data is the same"


def test_zipped_axes_go_together(project: Project) -> None:
    axes = {**SEVERAL, "lr": [1e-4, 2e-4]}
    assert cells(project, axes=axes, zip=[["domain", "lr"]]) == [
        "gt_sft_sums_base_nano_lr0.0001", "gt_sft_facts_base_nano_lr0.0002",
        "on_rl_sums_base_nano_lr0.0001", "on_rl_facts_base_nano_lr0.0002",
    ]  # fmt: skip


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 3), min_size=3, max_size=3), together=st.booleans())
def test_there_are_as_many_cells_as_the_axes_say(sizes: list[int], together: bool, project: Project) -> None:
    names = ["lr", "steps", "weight_decay"]
    values = [[1e-4, 2e-4, 3e-4], [10, 20, 30], [0.0, 0.1, 0.2]]
    sizes = [sizes[0], sizes[0], sizes[2]] if together else sizes
    axes = {name: value[:size] for name, value, size in zip(names, values, sizes, strict=True)}
    found = cells(project, axes={**AXES, **axes}, zip=[names[:2]] if together else [])
    assert len(found) == len(set(found)) == (sizes[0] * sizes[2] if together else math.prod(sizes))


# --- rules ------------------------------------------------------------------------------------------------------------


def rule(action: str, name: str, **more: Any) -> dict[str, Any]:
    return {action: name, "why": "to see it", **more}


def test_rules_are_applied_in_their_order_and_say_how_many_cells_they_touched(project: Project) -> None:
    rules = [
        rule("drop", "no_rl_on_facts", where={"method": "on_rl", "domain": "facts"}),
        rule("add", "rl_on_facts_after_all", cells={"method": ["on_rl"], "domain": ["facts"]}),
        rule("set", "slower", where={"domain": ["facts"]}, to={"grpo": {"lr": 1e-6}}) | {"where": {"method": "on_rl"}},
        rule("keep", "facts", where={"domain": "facts"}),
    ]
    found = plan(project, axes=SEVERAL, rules=rules)
    assert [cell["id"] for cell in found["cells"]] == ["gt_sft_facts_base_nano", "on_rl_facts_base_nano"]
    assert [(r["name"], r["action"], r["touched"]) for r in found["rules"]] == [
        ("no_rl_on_facts", "drop", 1), ("rl_on_facts_after_all", "add", 1), ("slower", "set", 2), ("facts", "keep", 2),
    ]  # fmt: skip
    assert jobs(found, "train")["on_rl_facts_base_nano"]["settings"]["lr"] == 1e-6


def test_an_added_cell_may_have_a_value_that_no_axis_has(project: Project) -> None:
    rules = [
        rule("add", "one_more", cells={"method": ["rs_sft"]}),
        rule("set", "short", where={"method": "rs_sft"}, to={"sft": {"steps": 5}}),
    ]
    found = plan(project, rules=rules)
    assert [cell["id"] for cell in found["cells"]] == ["gt_sft_sums_base_nano", "rs_sft_sums_base_nano"]
    assert jobs(found, "train")["rs_sft_sums_base_nano"]["settings"]["steps"] == 5


def test_where_tells_a_number_from_another(project: Project) -> None:
    rules = [rule("drop", "the_second", where={"lr": 2e-4})]
    assert cells(project, axes={**AXES, "lr": [1e-4, 2e-4]}, rules=rules) == ["gt_sft_sums_base_nano_lr0.0001"]


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"rules": [rule("drop", "none", where={"lr": 1})]}, "there is no axis 'lr'", "valid here"),
        ({"rules": [rule("drop", "none", where={"method": "gt_stf"})]}, "axis 'method' has no 'gt_stf'", "'gt_sft'"),
        ({"rules": [rule("add", "there", cells={"domain": ["sums"]})]}, "'there' touches none of the 1 cells", "there already"),
        ({"rules": [rule("drop", "all", where={"domain": "sums"})]}, "the rules leave no cell", ""),
        ({"zip": [["method", "domian"]]}, "there is no axis 'domian' to zip", "'domain'"),
        ({"axes": SEVERAL, "zip": [["method", "start"]]}, "'method' has 2, 'start' has 1", "add or remove"),
        ({"zip": [["method", "start"], ["start", "scale"]]}, "'start' cannot be zipped twice", "once"),
        ({"name": "{method}_{lr}"}, "'name' has '{lr}'", "valid here"),
        ({"axes": SEVERAL, "name": "{method}"}, "two cells have the name 'gt_sft'", "into 'name'"),
        ({"name": "{method} {domain}"}, "a cell would be called 'gt_sft sums'", "plain name"),
        ({"axes": {**AXES, "lrr": [1]}}, "takes a setting 'lrr'", "'lr'"),
        ({"axes": {**AXES, "grpo.lr": [1e-5]}}, "has no algorithm 'grpo'", "sft"),
        ({"axes": {**AXES, "method": ["on_rl"], "gpro.lr": [1e-5]}}, "there is no algorithm 'gpro'", "'grpo.lr'"),
        (
            {"axes": {**AXES, "adpter": ["full"]}, "define": {"adapters": {"full": {"about": "All", "settings": None}}}},
            "no algorithm takes a setting 'adpter'",
            "'adapter'",
        ),
        ({"axes": {**AXES, "pace": {"slow": {"lrr": 1e-5}}}}, "no algorithm takes a setting 'lrr'", "'lr'"),
        ({"axes": {**AXES, "lrr": [1e-5]}, "name": "{method}_{lr}"}, "no algorithm takes a setting 'lrr'", "'lr'"),
        ({"axes": {**AXES, "lr": [7]}}, "'lr' of the settings of algorithm sft is 7; expected at most 1", ""),
        ({"axes": {**AXES, "adapter": ["lora"]}}, "there is no adapter 'lora'", ""),
    ],
)
def test_what_is_wrong_with_axes_and_rules_is_one_message(
    changes: dict[str, Any], message: str, hint: str, project: Project
) -> None:
    result = validate(project, **changes)
    assert (result.code, len(result.errors)) == (1, 1), result.err
    assert message in result.err and hint in result.err


def test_independent_mistakes_of_rules_are_told_together(project: Project) -> None:
    rules = [rule("drop", "one", where={"domain": "summs"}), rule("drop", "two", where={"method": "gt_stf"})]
    assert len(validate(project, axes=SEVERAL, rules=rules).errors) == 2


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_study_may_name_its_cells(project: Project) -> None:
    found = cells(project, name="{scale}__{domain}__{method}__run", axes=SEVERAL)
    assert found[0] == "nano__sums__gt_sft__run"
