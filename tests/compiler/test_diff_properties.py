"""What holds of any two plans that are compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.diff.compare import Diff, compare
from compiler.diff.items import View
from compiler.diff.markdown import markdown
from compiler.diff.text import render
from compiler.diff.told import Length
from compiler.diff.toll import toll
from compiler.diff.whose import Roster
from compiler.plan.fingerprint import fingerprint
from compiler.plan.plan import Edge, Job, Plan, read_plan

Toy = tuple[str, int, int, tuple[int, ...]]  # a job: name, setting, execution, and which of the jobs before it it reads


def job(
    name: str, kind: str, setting: object, execution: object, inputs: Sequence[Job], cell: Mapping[str, str] | None = None
) -> Job:
    decisive = {"own": setting}
    made = fingerprint(kind, "toy", kind, 1, decisive, {f"in{n}": read.fingerprint for n, read in enumerate(inputs)}, "scores")
    edges = tuple(Edge(f"in{n}", read.id, read.output, read.fingerprint) for n, read in enumerate(inputs))
    return Job(
        id=f"{kind}/{name}", kind=kind, backend="toy", what=kind, cell=cell, inputs=edges, output="scores", code=1,
        settings=decisive, provenance={"own": "the test"}, config=decisive, execution={"devices": execution},
        resources={"gpus": 1}, environment="train", cost={"gpu_hours": 2, "gpu_hours_expected": None}, fingerprint=made,
    )  # fmt: skip


def plan(jobs: Sequence[Job]) -> Plan:
    return Plan(
        study="toy", about="", spec="", cluster="here", executor="local", store="", axes={}, rules=(), cells=(),
        jobs=tuple(jobs), warnings=(), sharing={},
    )  # fmt: skip


def toy_plan(toys: Sequence[Toy]) -> Plan:
    """Each job's setting carries its place, so that no two of one plan are the same."""
    jobs: list[Job] = []
    for place, (name, setting, execution, reads) in enumerate(toys):
        inputs = [jobs[number % place] for number in reads] if place else []
        jobs.append(job(name, "build", f"{place}:{setting}", execution, list({one.id: one for one in inputs}.values())))
    return plan(jobs)


names = st.integers(0, 30).map(lambda number: f"j{number}")
toys = st.lists(
    st.tuples(names, st.integers(0, 2), st.integers(0, 2), st.tuples(st.integers(0, 9), st.integers(0, 9))),
    min_size=1, max_size=9, unique_by=lambda toy: toy[0],
)  # fmt: skip
many = settings(max_examples=60)


def fingerprints(found: Plan) -> dict[str, str]:
    return {one.id: one.fingerprint for one in found.jobs}


def below(found: Plan, changed: set[str]) -> set[str]:
    """What is made from these jobs, however indirectly."""
    reached = set(changed)
    for one in found.jobs:
        reached |= {one.id} if any(edge.job in reached for edge in one.inputs) else set()
    return reached - changed


def viewed(old: Plan, new: Plan) -> View:
    found = compare(old, new)
    return View("toy", "no changes", found, toll(found, old, new, frozenset()), old, new)


@many
@given(toys)
def test_a_plan_does_not_differ_from_itself_nor_from_what_is_read_of_its_file(found: list[Toy]) -> None:
    one = toy_plan(found)
    assert compare(one, toy_plan(found)) == Diff()
    assert compare(replace(one, jobs=tuple(reversed(one.jobs))), one).empty, "nor does the order of its jobs matter"


def test_a_plan_read_from_its_file_does_not_differ(tmp_path: Path) -> None:
    one = plan([job("a", "build", {"whole": 3.0, "list": (1, 2), "none": None, "nested": {"x": {}}}, 1.0, [])])
    (tmp_path / "plan.json").write_text(one.text())
    assert compare(read_plan(tmp_path / "plan.json"), one).empty


@many
@given(toys, toys)
def test_a_diff_leads_from_the_old_plan_to_the_new_one(old: list[Toy], new: list[Toy]) -> None:
    before, after = toy_plan(old), toy_plan(new)
    found = compare(before, after)
    was, now = fingerprints(before), fingerprints(after)
    kept = set(was) - set(found.removed) - {item.old for item in found.renamed}
    assert kept | set(found.added) | {item.new for item in found.renamed} == set(now)
    assert {name for name in kept if was[name] != now[name]} == (found.invalid | set(found.stale)) & kept
    assert not found.invalid & set(found.stale)
    for item in found.renamed:
        assert item.stale == (was[item.old] != now[item.new])
    assert found == compare(before, after), "and is the same each time"


@many
@given(toys, st.data())
def test_a_setting_invalidates_its_job_and_makes_stale_what_is_made_from_it(found: list[Toy], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(found) - 1))
    name, setting, execution, reads = found[place]
    before, after = toy_plan(found), toy_plan([*found[:place], (name, setting + 5, execution, reads), *found[place + 1 :]])
    diff = compare(before, after)
    own = {f"build/{name}"}
    assert (diff.invalid, set(diff.stale)) == (own, below(before, own))
    assert set(diff.because.values()) <= own
    assert (diff.added, diff.removed, diff.renamed) == ((), (), ())


@many
@given(toys, st.lists(st.integers(0, 5), min_size=9, max_size=9))
def test_how_jobs_are_run_never_invalidates(found: list[Toy], runs: list[int]) -> None:
    others = [(name, setting, run, reads) for (name, setting, _, reads), run in zip(found, runs, strict=False)]
    view = viewed(toy_plan(found), toy_plan(others))
    assert not (view.diff.invalid or view.diff.stale or view.diff.added or view.diff.removed)
    assert {change.effect for change in view.diff.changes} <= {"execution only"}
    assert (view.toll.again, view.toll.worst) == ((), 0)


@many
@given(toys, st.sets(names), st.booleans())
def test_renamed_jobs_are_recognised_also_below_a_change(found: list[Toy], renamed: set[str], changed: bool) -> None:
    others = [(f"new_{name}" if name in renamed else name, *rest) for name, *rest in found]
    if changed and found[0][0] not in renamed:
        others[0] = (found[0][0], found[0][1] + 5, *found[0][2:])
    diff = compare(toy_plan(found), toy_plan([(n, s, e, r) for n, s, e, r in others]))
    expected = {(f"build/{name}", f"build/new_{name}") for name, *_ in found if name in renamed}
    assert {(item.old, item.new) for item in diff.renamed} == expected
    assert (diff.added, diff.removed) == ((), ())
    assert {change.effect for change in diff.changes} <= ({"invalidates results"} if changed else set())


def test_settings_that_leave_the_fingerprint_are_cosmetic() -> None:
    one = job("a", "build", 1, 1, [])
    (change,) = compare(plan([one]), plan([replace(one, settings={"own": 2})])).changes
    assert (change.field, change.effect) == ("settings.own", "cosmetic")


# --- many jobs in few words -----------------------------------------------------------------------------------------------

CELLS = [
    {"method": method, "domain": domain, "start": start}
    for method in ("a", "b", "c", "d", "e") for domain in ("x", "y", "z") for start in ("base", "safe")
]  # fmt: skip


def meant(words: str) -> list[dict[str, str]]:
    """The cells that a description means."""
    if words.startswith("all but "):
        left_out = meant(words.removeprefix("all but "))
        return [cell for cell in CELLS if cell not in left_out]
    if " and of " in words:
        return [cell for part in words.split(" and of ") for cell in meant(part)]
    conditions = [re.fullmatch(r"(\w+)(!?=)(.*)", word) for word in words.split(", ")]
    found = [(match[1], match[2] == "=", match[3].split("|")) for match in conditions if match]
    return [cell for cell in CELLS if all((cell[axis] in values) == wanted for axis, wanted, values in found)]


def trained(cells: Sequence[Mapping[str, str]], setting: object = 1) -> list[Job]:
    return [job("_".join(cell.values()), "train", [dict(cell), setting], 1, [], cell) for cell in cells]


@settings(max_examples=200)
@given(st.sets(st.sampled_from(range(len(CELLS))), min_size=2))
def test_a_description_by_axes_means_exactly_those_cells(chosen: set[int]) -> None:
    jobs = trained(CELLS)
    wanted = [CELLS[number] for number in sorted(chosen)]
    text = Roster({one.id: one for one in jobs}).describe([jobs[number].id for number in sorted(chosen)])
    by_axes = re.fullmatch(r"(\d+) cells(?: of |, )(.*)", text)
    if text == "all 30 cells":
        assert len(wanted) == 30
    elif by_axes:
        assert int(by_axes[1]) == len(wanted)
        assert sorted(map(str, meant(by_axes[2]))) == sorted(map(str, wanted))
    else:
        assert re.match(rf"{len(wanted)} cells: train/", text)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("method=b", "6 cells of method=b"),
        ("method=b, start=safe", "3 cells of method=b, start=safe"),
        ("domain=x|z, start=safe|base", "20 cells of domain=x|z"),
        ("method=a|b|c", "18 cells of method=a|b|c"),
        ("method=a|b|c|d", "24 cells of method!=e"),
        ("method=a|b|c|d|e", "all 30 cells"),
        ("all but method=b, start=safe", "27 cells, all but method=b, start=safe"),
    ],
)
def test_products_of_values_are_described_in_the_fewest_words(words: str, text: str) -> None:
    jobs = trained(CELLS)
    wanted = meant(words)
    assert Roster({one.id: one for one in jobs}).describe([one.id for one in jobs if one.cell in wanted]) == text


# --- length ---------------------------------------------------------------------------------------------------------------


def large(number: int, edit: Any) -> Plan:
    """So many cells, each with a training and an evaluation, and what `edit` makes of each training's setting."""
    jobs: list[Job] = []
    for n in range(number):
        cell = {"method": f"m{n % 7}", "domain": f"d{n % 5}", "seed": str(n)}
        train = job(f"c{n}", "train", edit(n, {"place": n, **{f"s{k}": 0 for k in range(8)}}), 1, [], cell)
        jobs += [train, job(f"c{n}", "evaluate", 1, 1, [train], cell)]
    return plan([*jobs, job("toy", "report", edit(0, {"cells": 1}), 1, jobs[1::2])])


def test_a_field_with_another_value_in_each_job_is_one_line() -> None:
    view = viewed(large(20, lambda n, own: own), large(20, lambda n, own: {**own, "seed": n}))
    (line,) = [line for line in render(view, "default").splitlines() if "settings.own.seed" in line]
    assert line.startswith(
        "  -/+ all 20 cells, and report/toy: settings.own.seed (absent) -> 0, and 19 other changes of this field  "
    )


@pytest.mark.parametrize("length", ["summary", "default"])
@pytest.mark.parametrize(
    "edit",
    [
        lambda n, own: {**own, f"s{n % 8}": n // 2},  # 1,000 values in 8 fields
        lambda n, own: {**own, **{f"s{k}": n % (k + 2) for k in range(8)}},
        lambda n, own: {**own, f"another{n}": 1},  # 1,000 fields
    ],
)
def test_a_thousand_changed_jobs_take_at_most_sixty_lines(edit: Any, length: Length) -> None:
    view = viewed(large(1000, lambda n, own: own), large(1000, edit))
    lines = render(view, length).splitlines()
    assert len(lines) <= (60 if length == "default" else 12)
    assert re.fullmatch(
        r"Plan: 0 to add, \d+ to change \(\d+ invalidate results\), 0 to remove; \d+ become stale\. .* worst case\.", lines[-1]
    )
    assert len(markdown(view, length).splitlines()) <= 60
    named = {line.split()[1].rstrip(":") for line in render(view, "full").splitlines() if line.startswith("    ")}
    assert view.diff.invalid | set(view.diff.stale) <= named
