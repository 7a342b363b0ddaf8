"""The command line: its verbs and options, its exit codes, its output for people and for tools."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import compiler.verbs.validate
from tests.compiler.project import BIN, REPOSITORY, Project

SURFACE = {
    "validate": ["--json"],
    "compile": ["--json", "--locked", "--overwrite"],
    "diff": ["--exit-code", "--full", "--json", "--markdown", "--store", "--submitted", "--summary"],
    "ls": ["--allow-empty", "--cells", "--json", "--store"],
    "explain": ["--canary", "--json"],
    "lock": ["--json", "--update"],
    "canary": ["--cells", "--json", "--overwrite"],
    "simulate": ["--fail", "--json", "--kill-submitter", "--random", "--seed"],
    "select": ["--json", "--store"],
    "status": ["--canary", "--json", "--store", "--watch"],
    "triage": ["--json", "--store"],
    "retry": ["--dry-run", "--json", "--store", "--yes"],
    "cancel": ["--json", "--store", "--yes"],
    "logs": ["--follow", "--json", "--lines", "--store"],
    "replay": ["--json", "--store"],
    "storage": ["--json", "--most", "--remove", "--store"],
    "cluster": ["--json", "--name"],
    "report": ["--json", "--store"],
    "calibrate": ["--json", "--store"],
    "env": ["--at", "--cluster"],
    "schema": [],
}


def test_the_verbs_and_options_are_these(project: Project) -> None:
    """A change of this table is a change for everyone who wrote a script."""
    verbs = re.findall(r"^    (\w+) +\w", project.lethe("--help").out.split("verbs:")[1], re.MULTILINE)
    assert verbs == list(SURFACE)
    for verb, options in SURFACE.items():
        result = project.lethe(verb, "--help")
        assert (result.code, result.err) == (0, "")
        assert sorted(set(re.findall(r"--[a-z-]+", result.out.split("exit codes:")[0])) - {"--help"}) == options
        assert "exit codes: 0 ok" in result.out


def test_help_shows_a_day_with_lethe(project: Project) -> None:
    out = project.lethe("--help").out
    for line in ("lethe validate specs/phase1.yaml", "lethe compile  specs/phase1.yaml", "bash generated/submit_all.sh phase1"):
        assert line in out


@pytest.mark.parametrize("arguments", [[], ["bake"], ["compile"], ["compile", "a", "b"], ["diff", "--nope", "a"]])
def test_a_wrong_command_line_ends_in_1_with_the_usage(arguments: list[str], project: Project) -> None:
    result = project.lethe(*arguments)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("usage: lethe") and "error: " in result.err


def test_mistakes_as_json_are_the_same_on_standard_output(project: Project) -> None:
    project.edit("toy.yaml", "about: Four", "abuot: Four")
    project.edit("toy.yaml", "  wandb: disabled", "  wandb: no")
    result = project.lethe("validate", "specs/toy.yaml", "--json")
    assert (result.code, result.err) == (1, "")
    assert json.loads(result.out) == {
        "errors": [
            {
                "severity": "error", "summary": "unknown key 'abuot'", "detail": "", "hint": "did you mean 'about'?",
                "suggestion": "about", "file": "specs/toy.yaml",
                "range": {"start": {"line": 3, "column": 1}, "end": {"line": 3, "column": 6}},
                "snippet": "abuot: Four methods on two toy domains",
            },
            {
                "severity": "error", "summary": "'tracking.wandb' cannot be 'no'", "detail": "",
                "hint": "valid here: disabled, offline, online", "suggestion": None, "file": "specs/toy.yaml",
                "range": {"start": {"line": 29, "column": 10}, "end": {"line": 29, "column": 12}}, "snippet": "  wandb: no",
            },
        ]
    }  # fmt: skip


def test_all_mistakes_are_shown_at_once_in_the_order_of_the_file(project: Project) -> None:
    project.edit("catalog/recipes.yaml", "      lr: 1e-3", "      lr: 7")
    project.edit("catalog/recipes.yaml", "      top_p: 1.0\n      kl_coef: 0.0", "      top_p: 1.5\n      kl_coef: -1")
    result = project.lethe("validate", "specs/toy.yaml")
    assert [line.split(": error: ")[1] for line in result.errors] == [
        "'lr' of the settings of algorithm sft is 7; expected at most 1",
        "'top_p' of the settings of algorithm grpo is 1.5; expected at most 1",
        "'kl_coef' of the settings of algorithm grpo is -1; expected at least 0",
    ]


def test_warnings_go_to_standard_error_and_stop_nothing(project: Project) -> None:
    project.edit("toy.yaml", "scale: [nano]", "scale: [hub]")
    result = project.lethe("compile", "specs/toy.yaml")
    assert result.code == 0
    assert "warning: Example/Small-Base is named at revision 'main', which can move; name a commit, or lock it\n" in result.err
    assert "Example/Small " not in result.err, "it stands at a commit"
    found = json.loads(project.lethe("compile", "specs/toy.yaml", "--json").out)["warnings"]
    assert [f"warning: {text}" for text in found] == result.err.splitlines()
    assert "## Warnings" in (project.tree / "PLAN.md").read_text()


@pytest.mark.parametrize("verb", ["status", "report"])
def test_status_and_report_ask_for_a_compiled_study(verb: str, project: Project) -> None:
    result = project.lethe(verb, "specs/toy.yaml")
    assert (result.code, result.err) == (
        1, "specs/toy.yaml is not compiled yet: there is no generated/toy/plan.json. First: lethe compile specs/toy.yaml\n",
    )  # fmt: skip


@pytest.mark.parametrize(("verb", "its"), [("status", "status"), ("report", "table")])
def test_status_and_report_are_the_runtimes_own(verb: str, its: str, shared: Project, tmp_path: Path) -> None:
    """With an empty store nothing is done, and the report is incomplete."""
    result = shared.shell(str(BIN / "lethe"), verb, "specs/toy.yaml", "--json", "--store", str(tmp_path))
    own = [sys.executable, "-m", "runtime", its, str(shared.tree / "plan.json"), "--store", str(tmp_path), "--json"]
    expected = subprocess.run(own, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (result.code, result.err) == (expected.returncode, expected.stderr)
    assert json.loads(result.out).keys() == json.loads(expected.stdout).keys()
    assert result.code in (0, 3)


def test_a_bug_of_ours_is_said_to_be_one(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(options: object) -> int:
        raise ZeroDivisionError("by design")

    monkeypatch.setattr(compiler.verbs.validate, "run", broken)
    result = project.lethe("validate", "specs/toy.yaml")
    assert result.code == 70
    assert "ZeroDivisionError: by design" in result.err and "this is a bug of ours" in result.err


def test_python_dash_m_is_the_same_command(project: Project) -> None:
    result = project.shell(
        sys.executable, "-m", "compiler.cli", "validate", "specs/toy.yaml", environment={"PYTHONPATH": str(REPOSITORY)}
    )
    assert (result.code, result.out) == (0, "specs/toy.yaml: fine. 14 cells, 65 jobs on cluster here.\n")
