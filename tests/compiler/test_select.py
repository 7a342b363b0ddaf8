"""`lethe select`: cells chosen by another study's results, into a committed file that compiling reads."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from compiler.cells.origin import Asked
from compiler.select.ranking import Candidate, best, short_of
from tests.compiler.project import REPOSITORY, Project

ITEMS = 20
NEXT = """\
study: next
about: What forgets most, from both starts
cluster: here
from: {{study: toy.yaml, select: {select}, axes: [{axes}]}}
axes:
  method: [gt_sft, rs_sft, on_rl, staged]
  domain: [sums, facts]
  start: [base, safe]
  scale: [nano]
{more}evaluate: {{suites: [skills]}}
tracking: {{wandb: disabled}}
"""
MEASURED = """\
study: toy
about: Two methods at two learning rates, from one start
cluster: here
axes:
  method: [gt_sft, on_rl]
  domain: [sums, facts]
  start: [base]
  scale: [nano]
  lr: [1e-3, 2e-5]
evaluate: {suites: [skills, harm]}
tracking: {wandb: disabled}
"""
LOST = {  # of 20 items of every task, right before, how many a cell gets wrong afterwards
    "gt_sft_sums_base_nano_lr0.001": 9, "gt_sft_sums_base_nano_lr2e-05": 3,
    "gt_sft_facts_base_nano_lr0.001": 8, "gt_sft_facts_base_nano_lr2e-05": 1,
    "on_rl_sums_base_nano_lr0.001": 4, "on_rl_sums_base_nano_lr2e-05": 0,
    "on_rl_facts_base_nano_lr0.001": 7, "on_rl_facts_base_nano_lr2e-05": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A compiled study whose evaluations are there, and whose report job was run."""
    project = Project.make(tmp_path_factory.mktemp("measured") / "project")
    project.spec.write_text(MEASURED)
    plan = project.compile()
    for job in plan["jobs"]:
        if job["kind"] == "evaluate":
            measure(project, plan, job)
    run_report(project)
    return project


def measure(project: Project, plan: Mapping[str, Any], job: Mapping[str, Any]) -> None:
    """Write the scores that an evaluate job would leave."""
    owner, _, suite = job["id"].removeprefix("evaluate/").rpartition(".")
    tasks = next(s for s in report_job(plan)["config"]["suites"] if s["name"] == suite)["tasks"]
    lost = LOST.get(owner, 0)
    facts = {"n": ITEMS, "correct": ITEMS - lost, "accuracy": 1 - lost / ITEMS, "prompt_hash": sha256(b"").hexdigest()}
    items = [{"task": task, "id": str(i), "correct": i >= lost, "finished": True} for task in tasks for i in range(ITEMS)]
    folder = project.root / "store" / f"{job['id']}-{job['fingerprint'][:12]}"
    folder.mkdir(parents=True)
    (folder / "scores.json").write_text(json.dumps({"suite": suite, "version": "1", "tasks": dict.fromkeys(tasks, facts)}))
    (folder / "items.jsonl").write_text("".join(f"{json.dumps(item)}\n" for item in items))
    done = {"lethe": 1, "job": job["id"], "kind": "evaluate", "type": "scores", "fingerprint": job["fingerprint"]}
    (folder / "DONE.json").write_text(json.dumps({**done, "facts": {}, "seconds": 1.0, "finished": "2026-01-31T00:00:00Z"}))


def run_report(project: Project) -> None:
    path = {"PYTHONPATH": str(REPOSITORY), "LETHE_STORE": str(project.root / "store")}
    done = project.shell(sys.executable, "-m", "runtime", "report", "generated/toy/jobs/report/toy.json", environment=path)
    assert done.code == 0, done.err


def report_job(plan: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(job for job in plan["jobs"] if job["kind"] == "report")


def report_folder(project: Project) -> Path:
    job = report_job(project.plan())
    return project.root / "store" / f"{job['id']}-{job['fingerprint'][:12]}"


@pytest.fixture
def chain(measured: Project, tmp_path: Path) -> Project:
    """A copy of the measured project, with a second study that chooses from the first."""
    shutil.copytree(measured.root, tmp_path / "project")
    project = Project(tmp_path / "project")
    ask(project)
    return project


def ask(project: Project, select: str = "top 2 by forgetting", axes: str = "method, domain", more: str = "") -> None:
    (project.root / "specs" / "next.yaml").write_text(NEXT.format(select=select, axes=axes, more=more))


def selection(project: Project) -> Path:
    return project.root / "specs" / "next.selection.yaml"


def chosen(project: Project) -> list[Mapping[str, Any]]:
    """Select, which must succeed, and read the cells."""
    done = project.lethe("select", "specs/next.yaml")
    assert done.code == 0, done.err
    found: list[Mapping[str, Any]] = yaml.safe_load(selection(project).read_text())["cells"]
    return found


def refused(project: Project, *said: str, verb: str = "select") -> str:
    """The verb must fail with one message that says all of `said`, and write no selection."""
    before = selection(project).read_bytes() if selection(project).exists() else None
    done = project.lethe(verb, "specs/next.yaml")
    assert done.code == 1 and not done.out
    assert all(words in done.err for words in said), done.err
    assert (selection(project).read_bytes() if selection(project).exists() else None) == before
    assert not list(selection(project).parent.glob(".*"))
    return done.err


GOLDEN = """\
# The cells of toy that next.yaml goes on with, written by `lethe select` and meant to be committed.
# Compiling reads them here. To choose anew, change 'from' in the spec and run `lethe select` again.
study: toy
report: "{fingerprint}"
from: {{study: toy.yaml, select: "top 2 by forgetting", axes: [method, domain]}}
cells:
  - {{method: gt_sft, domain: sums, value: 45.00}}
  - {{method: gt_sft, domain: facts, value: 40.00}}
"""


def test_the_file_letter_by_letter(chain: Project) -> None:
    chosen(chain)
    expected = GOLDEN.format(fingerprint=report_job(chain.plan())["fingerprint"])
    assert selection(chain).read_text() == expected


def test_selecting_again_changes_nothing(chain: Project) -> None:
    chosen(chain)
    before = selection(chain).stat()
    assert "unchanged" in chain.lethe("select", "specs/next.yaml").out
    assert (selection(chain).stat().st_mtime_ns, selection(chain).stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def pairs(cells: list[Mapping[str, Any]], *axes: str) -> list[tuple[Any, ...]]:
    return [tuple(cell[axis] for axis in axes) for cell in cells]


SELECTED = [
    ("top 1 by forgetting", "method", [("gt_sft",)]),
    ("top 2 by forgetting", "method", [("gt_sft",), ("on_rl",)]),
    ("bottom 2 by forgetting", "method, domain", [("on_rl", "sums"), ("gt_sft", "facts")]),
    ("top 1 by forgetting per domain", "domain, method", [("sums", "gt_sft"), ("facts", "gt_sft")]),
    ("top 1 by gain per method", "method, domain", [("gt_sft", "facts"), ("on_rl", "sums")]),
    ("bottom 1 by gain", "domain", [("sums",)]),
    ("top 1 by forgetting per domain", "method", [("gt_sft",)]),
    ("bottom 1 by harm", "method, domain", [("gt_sft", "sums")]),
    ("top 1 by skills/facts", "method", [("on_rl",)]),
    ("bottom 1 by change", "method", [("gt_sft",)]),
    ("top 1 by score", "method", [("on_rl",)]),
    ("bottom 1 by other_score", "method", [("gt_sft",)]),
    ("top  1  by  transfer", "method", [("gt_sft",)]),
]


@pytest.mark.parametrize(("select", "axes", "expected"), SELECTED)
def test_cells_are_ranked_and_seen_on_the_axes_asked_for(
    chain: Project, select: str, axes: str, expected: list[tuple[str, ...]]
) -> None:
    """The next in rank counts where two cells are the same on those axes."""
    ask(chain, select, axes)
    assert pairs(chosen(chain), *axes.split(", ")) == expected


def test_settings_are_numbers_again(chain: Project) -> None:
    ask(chain, "top 2 by forgetting", "lr", more="  lr: [1e-4, 2e-5, 0.001]\n")
    assert [(cell["lr"], cell["value"]) for cell in chosen(chain)] == [(0.001, 45.0), ("2e-05", 15.0)]  # YAML 1.1 reads text
    assert chain.lethe("compile", "specs/next.yaml").code == 0
    cells = json.loads((chain.generated / "next" / "plan.json").read_text())["cells"]
    assert {cell["axes"]["lr"] for cell in cells} == {"0.001", "2e-05"}


def test_the_chosen_cells_stand_for_their_axes_and_the_spec_gives_the_rest(chain: Project) -> None:
    chosen(chain)
    done = chain.lethe("compile", "specs/next.yaml")
    assert done.code == 0, done.err
    plan = json.loads((chain.generated / "next" / "plan.json").read_text())
    assert [cell["id"] for cell in plan["cells"]] == [
        "gt_sft_sums_base_nano", "gt_sft_sums_safe_nano", "gt_sft_facts_base_nano", "gt_sft_facts_safe_nano"
    ]  # fmt: skip


def test_json_says_what_was_chosen(chain: Project) -> None:
    found = json.loads(chain.lethe("select", "specs/next.yaml", "--json").out)
    assert found == {
        "file": "specs/next.selection.yaml", "study": "toy", "select": "top 2 by forgetting", "changed": True,
        "cells": [{"method": "gt_sft", "domain": d, "value": v} for d, v in (("sums", 45.0), ("facts", 40.0))],
    }  # fmt: skip


def test_people_read_ranks_and_what_to_do_next(chain: Project) -> None:
    lines = chain.lethe("select", "specs/next.yaml").out.splitlines()
    assert [line.split() for line in lines[:2]] == [["1", "gt_sft", "sums", "45.00"], ["2", "gt_sft", "facts", "40.00"]]
    assert lines[2].endswith("written. Commit it, then: lethe compile specs/next.yaml")


@pytest.mark.parametrize("how", ["option", "variable"])
def test_the_store_may_be_elsewhere(chain: Project, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    (chain.root / "store").rename(chain.root / "elsewhere")
    refused(chain, "specs/toy.yaml has no finished report")
    if how == "variable":
        monkeypatch.setenv("LETHE_STORE", "elsewhere")
    done = chain.lethe("select", "specs/next.yaml", *(["--store", "elsewhere"] if how == "option" else []))
    assert done.code == 0, done.err


def test_a_store_that_this_shell_does_not_know_is_named(chain: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCRATCH", raising=False)
    chain.edit("toy.yaml", "cluster: here", "cluster: gres_site")
    chain.compile()
    refused(chain, "the store of toy is $SCRATCH/lethe", "--store")


WRONG_WORDS = {
    "top three by gain": "'top N by METRIC'",
    "top 0 by gain": "asks for nothing",
    "best 2 by gain": "asks for nothing",
    "top 2 by gain per": "asks for nothing",
    "top 2": "asks for nothing",
}


@pytest.mark.parametrize("verb", ["select", "compile"])
@pytest.mark.parametrize("select", WRONG_WORDS)
def test_words_that_ask_for_nothing_are_refused_where_they_stand(chain: Project, select: str, verb: str) -> None:
    ask(chain, select)
    refused(chain, "specs/next.yaml:4:33: error", WRONG_WORDS[select], verb=verb)


def test_an_unknown_metric_lists_those_of_the_report(chain: Project) -> None:
    ask(chain, "top 1 by forgeting")
    said = refused(chain, "the report of toy has no metric 'forgeting'", "did you mean 'forgetting'?")
    assert "gain, forgetting, transfer, change, score, other_score, harm, skills/facts, skills/sums" in said


def test_an_unknown_axis_is_named_wherever_it_stands(chain: Project) -> None:
    ask(chain, "top 1 by gain per domian", "method, seed", more="  seed: [1]\n")
    refused(chain, "has no axis 'domian'", "did you mean 'domain'?", "has no axis 'seed'")


def test_more_cells_than_there_are_is_refused(chain: Project) -> None:
    ask(chain, "top 3 by gain", "method")
    refused(chain, "asks for 3; the report of toy has only 2 that differ in method", "ask for fewer")
    ask(chain, "top 2 by gain per domain", "domain")
    refused(chain, "has only 1 of domain sums that differ in domain")


def test_a_study_without_from_chooses_nothing(chain: Project) -> None:
    done = chain.lethe("select", "specs/toy.yaml")
    assert done.code == 1 and "takes no cells from another one" in done.err


def test_another_study_that_is_not_there_is_named_where_it_is_asked_for(chain: Project) -> None:
    chain.edit("next.yaml", "study: toy.yaml", "study: boy.yaml")
    refused(chain, "specs/next.yaml:4:15: error: there is no specs/boy.yaml")


def test_another_study_must_be_compiled(chain: Project) -> None:
    shutil.rmtree(chain.tree)
    refused(chain, "specs/toy.yaml is not compiled yet", "First: lethe compile specs/toy.yaml")


def test_another_study_must_have_its_report(chain: Project) -> None:
    shutil.rmtree(report_folder(chain))
    refused(chain, "specs/toy.yaml has no finished report", "lethe report specs/toy.yaml")


def test_a_report_of_another_plan_does_not_count(chain: Project) -> None:
    old = report_folder(chain).name
    chain.edit("toy.yaml", "lr: [1e-3, 2e-5]", "lr: [1e-3, 3e-5]")
    chain.compile()
    refused(chain, "was compiled differently when it ran", old, report_folder(chain).name)


def test_a_report_in_the_right_place_made_as_another_does_not_count(chain: Project) -> None:
    marker = report_folder(chain) / "DONE.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"fingerprint": "f" * 64}))
    refused(chain, "was made as ffffffffffff", "compiled differently")


@pytest.mark.parametrize("spoilt", ['{"complete": false}', "[]", "no json", None])
def test_a_report_that_is_not_whole_does_not_count(chain: Project, spoilt: str | None) -> None:
    path = report_folder(chain) / "report.json"
    path.write_text(spoilt) if spoilt else path.unlink()
    refused(chain, "holds no complete report" if spoilt and "complete" in spoilt else "cannot read")


def test_compiling_without_a_selection_says_what_to_run(chain: Project) -> None:
    refused(chain, "specs/next.yaml:4:1: error", "there is no specs/next.selection.yaml", "run: lethe select specs/next.yaml",
            verb="compile")  # fmt: skip


@pytest.mark.parametrize(("key", "old", "new"), [
    ("select", "top 2", "top 1"), ("axes", "[method, domain]", "[domain, method]"), ("study", "study: toy", "study: ./toy"),
])  # fmt: skip
def test_a_selection_of_other_words_does_not_compile(chain: Project, key: str, old: str, new: str) -> None:
    chosen(chain)
    chain.edit("next.yaml", old, new)
    refused(chain, f"specs/next.selection.yaml was made for another '{key}'", "run: lethe select", verb="compile")


def test_a_chosen_value_that_the_spec_does_not_list_is_an_error_at_its_axis(chain: Project) -> None:
    chosen(chain)
    chain.edit("next.yaml", "domain: [sums, facts]", "domain: [sums]")
    said = refused(chain, "specs/next.yaml:7:11: error: axis 'domain' lacks 'facts', which specs/next.selection.yaml chose",
                   verb="compile")  # fmt: skip
    assert said.count("error") == 1


def test_an_axis_that_the_spec_leaves_out_takes_whatever_was_chosen(chain: Project) -> None:
    chain.edit("next.yaml", "  method: [gt_sft, rs_sft, on_rl, staged]\n  domain: [sums, facts]\n", "")
    chosen(chain)
    assert chain.lethe("compile", "specs/next.yaml").code == 0
    cells = json.loads((chain.generated / "next" / "plan.json").read_text())["cells"]
    assert [cell["id"] for cell in cells][::2] == ["gt_sft_sums_base_nano", "gt_sft_facts_base_nano"]


@pytest.mark.parametrize("verb", ["select", "compile"])
def test_an_axis_to_choose_on_must_be_one_of_the_study(chain: Project, verb: str) -> None:
    ask(chain, axes="method, domian")
    refused(chain, "there is no axis 'domian' here", "did you mean 'domain'?", verb=verb)
    ask(chain, axes="method, value", more="  value: {slow: {lr: 1e-4}}\n")
    refused(chain, "an axis called 'value' cannot be chosen on", verb=verb)


SPOILT = {
    "cells:\n": ("cels:\n", "unknown key 'cels'"),
    "method: gt_sft, domain: sums": ("method: gt_sft", "exactly the keys 'method', 'domain', 'value'"),
    "study: toy\n": ("", "'study' is missing"),
}


@pytest.mark.parametrize("old", SPOILT)
def test_a_selection_spoilt_by_hand_is_told_where(chain: Project, old: str) -> None:
    chosen(chain)
    new, said = SPOILT[old]
    chain.edit("next.selection.yaml", old, new)
    refused(chain, "specs/next.selection.yaml", said, verb="compile")


VALUES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 20)), min_size=1, max_size=12)


@given(VALUES, st.sampled_from(["top", "bottom"]), st.integers(1, 4), st.sampled_from([None, "domain"]))
def test_whatever_the_values_each_chosen_cell_is_the_best_that_is_left(
    rows: list[tuple[str, str, int]], end: Literal["top", "bottom"], count: int, per: str | None
) -> None:
    found = [Candidate({"method": method, "domain": domain}, value / 20) for method, domain, value in rows]
    asked = Asked(end, count, "gain", per)
    chosen = best(found, asked, ["method"])
    names = [choice.axes["method"] for choice in chosen]
    assert len(set(names)) == len(names)
    sign = 1 if end == "top" else -1
    if per is None:
        most = {m: max(sign * v for method, _, v in rows if method == m) for m, _, _ in rows}
        assert [sign * round(choice.value / 5) for choice in chosen] == sorted(most.values(), reverse=True)[:count]
        assert all(most[choice.axes["method"]] == sign * round(choice.value / 5) for choice in chosen)
        assert (short_of(found, asked, ["method"]) is None) == (len(chosen) == count)
    else:
        tops = {d: max((sign * v for _, domain, v in rows if domain == d)) for _, d, _ in rows}
        assert all(any(sign * v == top and m in names for m, d, v in rows if d == domain) for domain, top in tops.items())
