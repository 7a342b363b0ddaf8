"""The plain text, letter by letter, and within its hundred columns."""

from __future__ import annotations

import pytest

BEFORE = [1] * 40 + [0] * 60
BETTER = [1] * 70 + [0] * 30
WORSE = [0] * 30 + [1] * 10 + [0] * 60

RULE = "─" * 47
GOLDEN = f"""\
small: A small study
4 cells x 2 suites; 6 of 8 results; plan 1f3fa74bd005
score after in %; change in points ± half its 95 % interval: ▲▼ beyond, · within; ◆ trained domain

start base, scale micro
{RULE}
           math               qa
n            100                100
before      40.0               40.0
{RULE}
sft  math ◆ 70.0 ▲+30.0 ±9.3   10.0 ▼−30.0 ±9.3
sft  qa     10.0 ▼−30.0 ±9.3 ◆ 70.0 ▲+30.0 ±9.3
rl   math ◆ ERROR              10.0 ▼−30.0 ±9.3
rl   qa     MISSING          ◆ 70.0 ▲+30.0 ±9.3

without a number: 2 of 8 results
  ERROR rl_math_base_micro (math): evaluate/rl_math_base_micro.math: items.jsonl has no item of task
    'gsm'
  MISSING rl_qa_base_micro (math): waits for train/rl_qa_base_micro

verdicts, start base, scale micro
     trained domain        other suites          F     BT   results  verdict
sft  ▲+30.0 [+23.0,+36.1]  ▼−30.0 [−36.1,−23.0]  30.0  0.0  4/4      learns and forgets
rl   ▲+30.0 [+20.2,+38.7]  ▼−30.0 [−38.7,−20.2]  30.0  0.0  2/4 !    learns and forgets
"""  # noqa: RUF001  (the true minus sign of a loss)


def written(study) -> str:
    study.report()
    return next(study.store.glob("report/*/report.txt")).read_text()


def test_the_table_letter_by_letter(study):
    study.everything(BEFORE, BETTER, WORSE)
    (study.folder("evaluate/rl_qa_base_micro.math") / "DONE.json").unlink()
    (study.folder("evaluate/rl_math_base_micro.math") / "items.jsonl").write_text("")
    assert written(study) == GOLDEN


def test_eighteen_cells_on_four_suites_fit_a_hundred_columns(make_study):
    names = ("math", "code", "qa", "general")
    suites = [{"name": name, "tasks": [name], "domain": None if name == "general" else name} for name in names]
    methods = ("gt_sft", "sf_sft", "self", "on_rl", "off_rl", "pi")
    study = make_study(methods=methods, domains=names[:3], suites=suites).everything(BEFORE, BETTER, WORSE)
    lines = written(study).splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.startswith(("gt_sft", "sf_sft", "self", "on_rl", "off_rl", "pi")) for line in lines) == 18 + 6


def test_suites_that_do_not_fit_side_by_side_continue_below(make_study):
    suites = [{"name": f"suite{i}", "tasks": [f"task{i}"], "domain": None} for i in range(10)]
    text = written(make_study(methods=("sft",), suites=suites).everything(BEFORE, BETTER, WORSE))
    assert text.count("start base, scale micro\n──") == 3
    assert all(f"suite{i}" in text for i in range(10))
    assert max(map(len, text.splitlines())) <= 100


def test_the_last_lines_are_the_verdicts(study):
    lines = written(study.everything(BEFORE, BETTER, WORSE)).splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ["sft", "rl"]
    assert all(line.endswith("learns and forgets") for line in lines[-2:])


def test_results_that_lack_the_same_job_share_a_line(study):
    study.everything(BEFORE, BETTER, WORSE)
    for job in ("rl_qa_base_micro.math", "rl_qa_base_micro.qa"):
        (study.folder(f"evaluate/{job}") / "DONE.json").unlink()
    assert "  MISSING rl_qa_base_micro (all suites): waits for train/rl_qa_base_micro\n" in written(study)


def test_a_study_of_which_little_is_there_names_twenty_reasons(make_study):
    domains = [f"domain{i:02}" for i in range(12)]
    study = make_study(methods=("sft", "rl"), domains=domains)
    assert "and 4 reasons more, all in report.html" in written(study)  # one for each of 24 models
    assert written(study).count("\n  MISSING ") == 20


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31mb", "a\tb"])
def test_a_name_cannot_break_a_line_or_colour_a_terminal(make_study, name):
    text = written(make_study(methods=("sft",), domains=("math",), title=name).everything(BEFORE, BETTER, WORSE))
    assert text.splitlines()[0].startswith("small: a\N{REPLACEMENT CHARACTER}")
    assert not set(text) & {"\x1b", "\t"}
