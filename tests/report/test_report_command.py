"""`python -m runtime report PLAN`, and the job of the same name: what they write, say and return."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.errors import JobError
from runtime.jobs.report import IncompleteReport, run
from runtime.report import command
from runtime.store import markers

BEFORE = [1] * 40 + [0] * 60
BETTER = [1] * 70 + [0] * 30
WORSE = [0] * 30 + [1] * 10 + [0] * 60
FILES = ("report.html", "report.json", "report.txt")


@pytest.fixture
def complete(study):
    return study.everything(BEFORE, BETTER, WORSE)


def lose(study, job):
    (study.folder(job) / markers.NAME).unlink()


def test_a_complete_study_exits_0_and_is_written_to_the_report_jobs_folder(complete, capsys):
    assert complete.report() == 0
    folder = complete.folder("report/small")
    assert all((folder / name).stat().st_size for name in FILES)
    assert capsys.readouterr().out.splitlines()[-1] == f"report: {folder / 'report.html'}"


def test_missing_results_exit_3_and_are_named_with_what_they_wait_for(complete, capsys):
    lose(complete, "evaluate/rl_qa_base_micro.math")
    assert complete.report() == 3
    shown = capsys.readouterr().out
    assert "without a number: 1 of 8 results" in shown
    assert "MISSING rl_qa_base_micro (math): waits for train/rl_qa_base_micro" in shown
    assert not complete.folder("report/small").exists()
    assert all((complete.store / "report" / "small" / name).exists() for name in FILES)


def test_an_evaluation_whose_checkpoint_is_there_is_itself_what_is_missing(complete, capsys):
    lose(complete, "evaluate/rl_qa_base_micro.math")
    complete.done("train/rl_qa_base_micro")
    complete.report()
    assert "MISSING rl_qa_base_micro (math): evaluate/rl_qa_base_micro.math is not done" in capsys.readouterr().out


def test_a_missing_baseline_costs_every_cell_its_number(complete):
    lose(complete, "evaluate/base_micro.qa")
    problems = complete.found()["problems"]
    assert [problem["suite"] for problem in problems] == ["qa"] * 4
    assert {problem["why"] for problem in problems} == {"waits for train/base_micro"}


def test_a_result_of_another_plan_counts_as_missing(complete):
    job = "evaluate/sft_math_base_micro.qa"
    complete.done("train/sft_math_base_micro")
    complete.done(job, "f" * 64)
    (problem,) = complete.found()["problems"]
    assert problem["status"] == "missing"
    assert problem["why"] == f"{job} is stale: made as ffffffffffff, the plan's is {complete.folder(job).name[-12:]}"


def test_an_empty_store_is_a_report_without_numbers(study, capsys):
    assert study.report() == 3
    assert "0 of 8 results" in capsys.readouterr().out


def test_json_prints_the_document_alone(complete, capsys):
    assert complete.report(json=True) == 0
    shown = capsys.readouterr()
    written = (complete.folder("report/small") / "report.json").read_text()
    assert shown.out == written
    assert json.loads(shown.out)["complete"]
    assert "report.html" in shown.err


def test_the_same_store_gives_the_same_bytes_from_the_command_and_from_the_job(complete):
    folder = complete.folder("report/small")
    complete.report()
    by_command = [(folder / name).read_bytes() for name in FILES]
    complete.report()
    assert by_command == [(folder / name).read_bytes() for name in FILES]
    run(complete.job())
    assert by_command == [(folder / name).read_bytes() for name in FILES]


def test_the_job_returns_what_it_covers(complete, capsys):
    assert run(complete.job()) == {"cells": 4, "results": 8}
    assert "learns and forgets" in capsys.readouterr().out


def test_the_job_writes_an_incomplete_report_and_does_not_count_as_done(complete):
    lose(complete, "evaluate/rl_qa_base_micro.math")
    job = complete.job()
    with pytest.raises(IncompleteReport, match="1 of 8 results have no number") as stopped:
        run(job)
    assert stopped.value.exit_code == 3
    assert all((job.out / name).exists() for name in FILES)


@pytest.mark.parametrize(("terminal", "no_color", "coloured"), [(True, "", True), (True, "1", False), (False, "", False)])
def test_colours_are_for_terminals_that_want_them(complete, capsys, monkeypatch, terminal, no_color, coloured):
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    complete.report()
    assert ("\x1b[" in capsys.readouterr().out) == coloured
    assert "\x1b" not in (complete.folder("report/small") / "report.txt").read_text()


def test_the_verb_starts_without_anything_heavy():
    code = "import sys, runtime.report; sys.exit(bool({'torch', 'numpy', 'transformers', 'compiler'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_no_plan_and_a_file_that_is_none_are_said_plainly(tmp_path):
    with pytest.raises(JobError, match="compile the study first"):
        command(tmp_path / "plan.json", tmp_path, False)
    (tmp_path / "plan.json").write_text("[]")
    with pytest.raises(JobError, match="not a plan"):
        command(tmp_path / "plan.json", tmp_path, False)
    (tmp_path / "plan.json").write_text('{"jobs": []}')
    with pytest.raises(JobError, match="no report job"):
        command(tmp_path / "plan.json", tmp_path, False)


WRONG = {
    "no axis": ({"axes": ["method", "domain", "start"]}, "needs the axis 'scale'"),
    "confidence": ({"confidence": 0.5}, "confidence is 0.5"),
    "no cells": ({"cells": []}, "at least one suite and one cell"),
    "no tasks": ({"suites": [{"name": "math", "tasks": [], "domain": None}]}, r"suites\[0\]: a suite needs at least one task"),
    "unknown suite": ({"suites": [{"name": "math", "tasks": ["gsm"], "domain": None}]}, "evaluates suite 'qa'"),
    "no title": ({"title": None}, "'title' is None"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_config_that_contradicts_itself_is_named(complete, kind):
    complete.changed, said = WRONG[kind]
    with pytest.raises(JobError, match=said):
        run(complete.job())


def test_a_cell_without_a_baseline_is_named(complete):
    cells = complete.cells()
    del cells[1]["baseline"]["qa"]
    complete.changed["cells"] = cells
    with pytest.raises(JobError, match=r"cells\[1\]: has no baseline of suite 'qa'"):
        run(complete.job())


def test_a_job_that_is_no_input_of_the_report_is_named(complete):
    job = complete.job()
    del job.inputs["evaluate/base_micro.qa"]
    with pytest.raises(JobError, match=r"names 'evaluate/base_micro\.qa', which is no input"):
        run(job)
