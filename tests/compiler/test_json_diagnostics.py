"""What `lethe validate --json` says of mistakes: all independent ones of a run, each with its range, snippet and suggestion."""

from __future__ import annotations

import json
from typing import Any

import pytest

from compiler.diagnostics import Diagnostic, Hint, Position, SpecError, nearest
from tests.compiler.project import Project

FIELDS = {"severity", "summary", "detail", "hint", "file", "range", "snippet", "suggestion"}


def errors(project: Project) -> list[dict[str, Any]]:
    result = project.lethe("validate", "specs/toy.yaml", "--json")
    assert (result.code, result.err) == (1, "")
    found: list[dict[str, Any]] = json.loads(result.out)["errors"]
    assert all(set(error) == FIELDS for error in found)
    return found


def marked(project: Project, error: dict[str, Any]) -> str:
    """What stands in the error's range."""
    start, end = error["range"]["start"], error["range"]["end"]
    assert start["line"] == end["line"]
    line = (project.root / error["file"]).read_text().splitlines()[start["line"] - 1]
    assert line == error["snippet"]
    return line[start["column"] - 1 : end["column"] - 1]


@pytest.mark.parametrize(
    ("file", "old", "new", "marked_text", "suggestion"),
    [
        ("toy.yaml", "about: Four", "abuot: Four", "abuot", "about"),
        ("toy.yaml", "  wandb: disabled", "  wandb: disbled", "disbled", "disabled"),
        ("toy.yaml", "  wandb: disabled", '  wandb: "disbled"', '"disbled"', "disabled"),
        ("toy.yaml", "rs_sft, on_rl", "rs_stf, on_rl", "rs_stf", "rs_sft"),
        ("toy.yaml", "tracking:", "banana: 1\ntracking:", "banana", None),
        ("toy.yaml", "  start: [base, safe]", "  start: {a: 1, b: 2}", "{a: 1, b: 2}", None),
        ("toy.yaml", "cluster: here\n", "", "study: toy", None),
        ("catalog/recipes.yaml", "      lr: 1e-3", "      lr: 1e-3x", "1e-3x", None),
        ("catalog/recipes.yaml", "      loss_type: nll", "      los_type: nll", "los_type", "loss_type"),
    ],
)
def test_a_mistake_has_a_range_and_the_word_that_should_stand_there(
    file: str, old: str, new: str, marked_text: str, suggestion: str | None, scratch: Project
) -> None:
    scratch.edit(file, old, new)
    (error,) = errors(scratch)
    assert (error["severity"], error["file"]) == ("error", f"specs/{file}")
    assert (marked(scratch, error), error["suggestion"]) == (marked_text, suggestion)
    assert suggestion is None or error["hint"] == f"did you mean '{suggestion}'?"


def test_putting_every_suggestion_in_its_range_mends_the_file(scratch: Project) -> None:
    text = scratch.spec.read_text()
    for old, new in [("about: Four", "abuot: Four"), ("[gt_sft, rs_sft", "[gt_sft, rs_stf"), ("disabled", "disablde"),
                     ("  scale:", "  scal:"), ("suites:", "suits:"), ("    why: facts", "    hwy: facts")]:  # fmt: skip
        scratch.edit("toy.yaml", old, new)
    for error in reversed(errors(scratch)):
        lines = scratch.spec.read_text().splitlines(keepends=True)
        number, start, end = error["range"]["start"]["line"], error["range"]["start"]["column"], error["range"]["end"]["column"]
        line = lines[number - 1]
        lines[number - 1] = line[: start - 1] + error["suggestion"] + line[end - 1 :]
        scratch.spec.write_text("".join(lines))
    assert scratch.spec.read_text() == text


def test_all_independent_mistakes_are_told_in_one_run(scratch: Project) -> None:
    """In the study's keys, in names of definitions, in rules, in settings, in its own definitions."""
    scratch.edit("toy.yaml", "cluster: here", "clutser: here")
    scratch.edit("toy.yaml", "[gt_sft, rs_sft", "[gt_sft, rs_stf")
    scratch.edit("toy.yaml", "start: safe}", "start: saef}")
    scratch.edit("toy.yaml", "wandb: disabled", "wandb: disable")
    assert [error["summary"] for error in errors(scratch)] == [
        "unknown key 'clutser'",
        "there is no method 'rs_stf'",
        "rule 'staged_from_base_only': axis 'start' has no 'saef'",
        "'tracking.wandb' cannot be 'disable'",
    ]


def test_mistakes_of_spec_and_catalog_are_told_together(scratch: Project) -> None:
    scratch.edit("toy.yaml", "about: Four", "abuot: Four")
    scratch.edit("toy.yaml", "tracking:", "define: {methods: {mine: {extends: gt_stf}}}\ntracking:")
    scratch.edit(
        "catalog/recipes.yaml", "stages: [{algorithm: sft, dataset: truth}]", "stages: [{algorithm: stf, datset: truth}]"
    )
    scratch.edit("catalog/recipes.yaml", "      loss_type: nll", "      los_type: nll")
    scratch.edit("catalog/places.yaml", "    executor: local", "    executer: local")
    scratch.edit("catalog/subjects.yaml", "    grader: math", "    grader: maths")
    found = [(error["file"].split("/")[-1], marked(scratch, error), error["suggestion"]) for error in errors(scratch)]
    assert found == [
        ("places.yaml", "executer", "executor"), ("recipes.yaml", "stf", "sft"), ("recipes.yaml", "datset", "dataset"),
        ("recipes.yaml", "los_type", "loss_type"), ("subjects.yaml", "maths", "math"), ("toy.yaml", "abuot", "about"),
        ("toy.yaml", "gt_stf", "gt_sft"),
    ]  # fmt: skip


def test_a_mistake_without_a_near_word_hides_no_other_of_its_file(scratch: Project) -> None:
    scratch.edit("toy.yaml", "study: toy", "study: a/b")
    scratch.edit("toy.yaml", "  suites: [skills, harm]", "  suites: [skills, ham]\n  confidence: 95")
    assert [error["suggestion"] for error in errors(scratch)] == [None, "harm", None]


def test_a_file_as_a_whole_has_no_range(scratch: Project) -> None:
    scratch.spec.write_text("")
    (error,) = errors(scratch)
    assert (error["range"], error["snippet"], error["file"]) == (None, None, "specs/toy.yaml")


def test_a_range_ends_with_its_line_where_the_value_goes_on() -> None:
    found = Diagnostic(Position(__file__, 1, 1), "x").as_json()
    assert found["range"]["end"] == {"line": 1, "column": len(found["snippet"]) + 1}


def test_a_warning_with_a_detail_is_one_message_of_few_lines() -> None:
    told = Diagnostic(Position(__file__, 1, 4), "a\nb", Hint("did you mean 'c'?", "c"), "of method: x\nand so on", "warning")
    lines = told.render().splitlines()
    assert lines[0] == f"{__file__}:1:4: warning: a\\nb"
    assert lines[2:] == ["    |    ^", "  of method: x\\nand so on", "  hint: did you mean 'c'?"]
    assert told.as_json()["severity"] == "warning" and told.as_json()["detail"] == "of method: x\nand so on"


def test_of_a_misspelt_word_nothing_else_is_told_but_of_the_mapping_that_begins_there() -> None:
    word, mapping = Position("a.yaml", 1, 1, 5), Position("a.yaml", 1, 1, 0)
    first, second = Diagnostic(word, "no 'bet2a'", nearest("bet2a", ["beta"])), Diagnostic(word, "no 'beta'")
    lacking = Diagnostic(mapping, "the key 'b' is missing")
    assert SpecError([first, second, lacking]).diagnostics == (first, lacking)
