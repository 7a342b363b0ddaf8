"""What makes cells comparable: `match` and `budget`, which are kept, and `accept`, for what is known to differ."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compiler.project import Project
from tests.compiler.small import AXES, SEVERAL, plan, validate

TWO = {**AXES, "method": ["gt_sft", "on_rl"]}
SAME_STEPS = [{"set": "as_long", "where": {"method": "on_rl"}, "to": {"grpo": {"steps": 20}}, "why": "to match"}]


def match(same: str, *across: str, **more: Any) -> list[dict[str, Any]]:
    return [{"same": same, "across": list(across) or ["method"], "why": "else the comparison says nothing", **more}]


@pytest.mark.parametrize(
    ("axes", "same", "across"),
    [
        (TWO, "prompts", "method"), (TWO, "start", "method"), (SEVERAL, "start", "domain"), (TWO, "gpu_hours", "method"),
        ({**AXES, "seed": [1, 2]}, "tokens", "seed"),
    ],
)  # fmt: skip
def test_a_match_that_holds_is_silent(axes: Any, same: str, across: str, project: Project) -> None:
    assert validate(project, axes=axes, match=match(same, across)).code == 0


@pytest.mark.parametrize(
    ("axes", "same", "across", "told"),
    [
        (TWO, "examples", "method", "160 in 'gt_sft_sums_base_nano', 80 in 'on_rl_sums_base_nano'"),
        (TWO, "tokens", "method", "10,240 in 'gt_sft_sums_base_nano', 25,600 in 'on_rl_sums_base_nano'"),
        (SEVERAL, "prompts", "domain", "rows "),
        ({**AXES, "start": ["base", "safe"]}, "start", "start", "in 'gt_sft_sums_safe_nano'"),
    ],
)
def test_a_match_that_is_broken_names_two_cells_and_their_numbers(
    axes: Any, same: str, across: str, told: str, project: Project
) -> None:
    result = validate(project, axes=axes, match=match(same, across))
    assert (result.code, len(result.errors)) == (1, 1), result.err
    assert f"'{same}' must be the same across {across}: " in result.err and told in result.err


def test_a_match_may_allow_a_difference(project: Project) -> None:
    rules = [{"set": "a_little_longer", "where": {"method": "on_rl"}, "to": {"grpo": {"steps": 21}}, "why": "to see it"}]
    assert validate(project, axes=TWO, rules=rules, match=match("examples", within=0.04)).code == 1
    assert validate(project, axes=TWO, rules=rules, match=match("examples", within=0.05)).code == 0
    assert validate(project, axes=TWO, rules=SAME_STEPS, match=match("examples")).code == 0


def test_what_cannot_be_counted_cannot_match(project: Project) -> None:
    rules = [{"set": "epochs", "where": {"method": "rs_sft"}, "to": {"sft": {"steps": None, "epochs": 1}}, "why": "to see it"}]
    result = validate(project, axes={**AXES, "method": ["gt_sft", "rs_sft"]}, rules=rules, match=match("examples"))
    assert (result.code, len(result.errors)) == (1, 1)
    assert "is not known for 'rs_sft_sums_base_nano'" in result.err and "`examples`" in result.err


def test_cells_are_compared_along_axes_that_there_are(project: Project) -> None:
    result = validate(project, match=match("start", "seed"))
    assert (result.code, len(result.errors)) == (1, 1)
    assert "there is no axis 'seed' to compare along" in result.err


# --- what differs, too --------------------------------------------------------------------------------------------------


def warnings(found: dict[str, Any]) -> list[str]:
    return [warning for warning in found["warnings"] if "differ in" in warning]


def test_what_compared_cells_differ_in_besides_is_a_warning_until_it_is_accepted(project: Project) -> None:
    (told,) = warnings(plan(project, axes=TWO))
    assert told == (
        "cells that differ in method differ in tokens, too: 10,240 in gt_sft_sums_base_nano, "
        "25,600 in on_rl_sums_base_nano; mend it, or name it under 'accept'"
    )
    assert not warnings(plan(project, axes=TWO, accept=[{"differ": "tokens", "across": "method", "why": "RL samples"}]))


def test_a_rule_that_changes_more_than_it_says_is_noticed(project: Project) -> None:
    rules = [{"set": "another_seed", "where": {"domain": "facts"}, "to": {"sft": {"seed": 2}}, "why": "to see it"}]
    accept = [{"differ": "tokens", "across": "domain", "why": "facts are short"}]
    (told,) = warnings(plan(project, axes={**AXES, "domain": ["sums", "facts"]}, rules=rules, accept=accept))
    assert "differ in seed, too: '1' in gt_sft_sums_base_nano, '2' in gt_sft_facts_base_nano" in told


def test_templates_that_differ_between_starts_are_noticed(project: Project) -> None:
    told = warnings(plan(project, axes={**AXES, "scale": ["hub"], "start": ["base", "safe"]}))
    assert any("differ in prompt, too: 'template plain, thinking false'" in one for one in told)


def test_three_seeds_are_not_compared_with_one_unnoticed(project: Project) -> None:
    rules = [{"drop": "one_is_enough", "where": {"method": "rs_sft", "seed": [2, 3]}, "why": "to see it"}]
    found = plan(project, axes={**AXES, "method": ["gt_sft", "rs_sft"], "seed": [1, 2, 3]}, rules=rules)
    assert warnings(found) == [
        "cells that differ in method differ in seed, too: '1, 2, 3' in gt_sft_sums_base_nano_seed1, "
        "'1' in rs_sft_sums_base_nano_seed1; mend it, or name it under 'accept'"
    ]


def test_an_axis_of_seeds_differs_in_seeds(project: Project) -> None:
    assert not warnings(plan(project, axes={**AXES, "seed": [1, 2]}))


# --- budgets ------------------------------------------------------------------------------------------------------------


def test_a_plan_within_its_budget_compiles(project: Project) -> None:
    assert validate(project, budget={"jobs": 9, "gpu_hours": 0, "storage": "1M"}).code == 0


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"jobs": 3}, "the plan has 9 jobs; the budget is 3"),
        ({"storage": "50K"}, "checkpoints take about 78.1K; the budget is 50K"),
        ({"gpu_hours": 1}, "the plan takes up to 264.0 GPU-hours; the budget is 1"),
    ],
)
def test_a_plan_beyond_its_budget_does_not(budget: dict[str, Any], message: str, project: Project) -> None:
    cluster = "gres_site" if "gpu_hours" in budget else "here"
    result = validate(project, cluster=cluster, budget=budget, evaluate={"suites": ["harm"]})
    assert (result.code, len(result.errors)) == (1, 1), result.err
    assert message in result.err, result.err
