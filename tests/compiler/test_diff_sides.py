"""`lethe diff A B` compares specs, plans and revisions; `--submitted` compares with what is running or done."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.compiler.project import Project, Result
from tests.compiler.stored import finish, record

TRAIN, OTHER = "train/gt_sft_facts_base_nano", "train/gt_sft_facts_safe_nano"
CAUSE = "  -/+ 2 cells of method=gt_sft, domain=facts: settings.lr 0.0005 -> 0.0006  (invalidates results)"
GENTLER = ("toy.yaml", "lr: 5e-4", "lr: 6e-4")


def lines(result: Result) -> list[str]:
    assert (result.code, result.err) == (0, "")
    return result.out.splitlines()


def committed(project: Project) -> Project:
    """The project with its specs and its generated folder in a repository."""
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "as it was"]):
        done = project.shell("git", *words)
        assert done.code == 0, done.err
    return project


# --- two sides ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["generated/toy", "generated/toy/plan.json", "specs/before.yaml"])
def test_a_side_is_a_spec_a_plan_or_its_folder(other: str, compiled: Project) -> None:
    (compiled.root / "specs" / "before.yaml").write_text(compiled.spec.read_text())
    same = lines(compiled.lethe("diff", other, "specs/toy.yaml"))
    assert same == [f"no changes; {other} and specs/toy.yaml are the same plan."]
    compiled.edit(*GENTLER)
    found = lines(compiled.lethe("diff", other, "specs/toy.yaml"))
    assert found[:2] == [f"{other} -> specs/toy.yaml:", CAUSE]
    back = lines(compiled.lethe("diff", "specs/toy.yaml", other))
    assert back[1] == CAUSE.replace("0.0005 -> 0.0006", "0.0006 -> 0.0005")
    assert compiled.lethe("diff", other, "specs/toy.yaml", "--exit-code").code == 2


def test_two_studies_are_compared_job_by_job(compiled: Project) -> None:
    smaller = compiled.spec.read_text().replace("study: toy", "study: tiny").replace("start: [base, safe]", "start: [base]")
    rules = smaller.index("  - drop: staged_from_base_only"), smaller.index("  - set: gentler_facts")
    (compiled.root / "specs" / "tiny.yaml").write_text(smaller[: rules[0]] + smaller[rules[1] :])
    found = lines(compiled.lethe("diff", "specs/toy.yaml", "specs/tiny.yaml"))
    assert "  - 6 trainings in 6 cells of start=safe" in found
    assert "  + report/tiny" in found and "  - report/toy" in found


@pytest.mark.parametrize("side", ["HEAD:specs/toy.yaml", "HEAD:generated/toy", "HEAD:generated/toy/plan.json"])
def test_a_side_is_what_git_has_at_a_revision(side: str, compiled: Project) -> None:
    committed(compiled)
    compiled.edit(*GENTLER)
    found = lines(compiled.lethe("diff", side, "specs/toy.yaml"))
    assert found[:2] == [f"{side} -> specs/toy.yaml:", CAUSE]
    notes = [line for line in found if line.startswith("  note: ")]
    assert notes == (
        [f"  note: {side} is compiled with today's compiler, templates and job code"] if side.endswith("yaml") else []
    )


def test_a_spec_of_a_revision_has_the_catalog_of_that_revision(compiled: Project) -> None:
    committed(compiled)
    compiled.edit("catalog/recipes.yaml", "clip_high: 0.2", "clip_high: 0.3")
    (change,) = json.loads(compiled.lethe("diff", "HEAD:specs/toy.yaml", "specs/toy.yaml", "--json").out)["changes"]
    assert (change["field"], change["old"], change["new"]) == ("settings.clip_high", 0.2, 0.3)


def test_mistakes_in_a_side_are_one_message_each(compiled: Project) -> None:
    compiled.edit("toy.yaml", "about: Four", "abuot: Four")
    committed(compiled)
    compiled.edit("toy.yaml", "abuot: Four", "about: Four")
    for words, message in {
        ("generated/toy",): "generated/toy is no spec, to be compared with what is generated of it.",
        ("HEAD:specs/toy.yaml",): "HEAD:specs/toy.yaml is no spec, to be compared",
        ("specs/toy.yaml", "generated/nope.json"): "cannot read generated/nope.json: No such file or directory.",
        ("specs/toy.yaml", "specs/nope.yaml"): "specs/nope.yaml: error: cannot read the file",
        ("HEAD:specs/toy.yaml", "specs/toy.yaml"): "HEAD:specs/toy.yaml:3:1: error: unknown key 'abuot'",
        ("HEAD:specs/nope.yaml", "specs/toy.yaml"): "HEAD:specs/nope.yaml: error: cannot read the file",
        ("nope:specs/toy.yaml", "specs/toy.yaml"): "git archive --format=tar nope specs: not a valid object name: nope",
        ("HEAD:generated/nope", "specs/toy.yaml"): "git show HEAD:./generated/nope/plan.json: path",
        ("HEAD:", "specs/toy.yaml"): "'HEAD:' is neither a file nor REVISION:FILE",
        ("specs/toy.yaml", "specs/toy.yaml", "--submitted"): "--submitted compares one spec",
    }.items():
        result = compiled.lethe("diff", *words)
        assert (result.code, result.out) == (1, "") and message in result.err, result.err
        assert "Traceback" not in result.err and len(result.err.splitlines()) <= 8


def test_a_plan_of_another_version_in_git_says_what_to_compare(compiled: Project) -> None:
    (compiled.tree / "plan.json").write_text('{"lethe": 1}')
    committed(compiled)
    result = compiled.lethe("diff", "HEAD:generated/toy", "specs/toy.yaml")
    assert (result.code, result.err) == (
        1,
        "HEAD:generated/toy/plan.json was written by another version of Lethe. "
        "Compare the spec of that revision: lethe diff HEAD:specs/STUDY.yaml ...\n",
    )


def test_without_git_a_revision_is_one_message(compiled: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = compiled.lethe("diff", "HEAD:specs/toy.yaml", "specs/toy.yaml")
    assert (result.code, result.err) == (1, "there is no git here, and REVISION:FILE needs it.\n")


# --- what was submitted ---------------------------------------------------------------------------------------------------


def submitted(project: Project, *options: str) -> Result:
    return project.lethe("diff", "specs/toy.yaml", "--submitted", *options)


def test_what_was_never_submitted_is_added(compiled: Project) -> None:
    finish(compiled, "prepare/sums")
    record(compiled, "started", TRAIN, number=os.getpid())
    found = json.loads(submitted(compiled, "--json").out)
    assert set(found["added"]) == set(compiled.jobs()) - {"prepare/sums", TRAIN}
    assert {job["why"] for job in found["jobs"]} == {"not submitted yet"}
    assert found["files"] == []


def test_when_all_was_submitted_as_it_is_there_is_no_change(compiled: Project) -> None:
    for job in compiled.jobs():
        finish(compiled, job)
    assert lines(submitted(compiled)) == ["toy: no changes; what was submitted is what the spec compiles to."]


def test_what_runs_or_is_done_as_before_is_said(compiled: Project) -> None:
    finish(compiled, TRAIN)
    record(compiled, "started", OTHER, number=os.getpid())
    compiled.edit(*GENTLER)
    found = lines(submitted(compiled))
    assert found[0] == "toy, beside what was submitted:" and CAUSE in found
    assert "  In all, 2 trainings have to be made again, up to 0 GPU-h; 1 finished result is invalidated." in found
    assert f"  note: 1 job is running or queued as before: {OTHER}" in found


def test_what_failed_counts_as_not_submitted(compiled: Project) -> None:
    record(compiled, "started", TRAIN)
    record(compiled, "failed", TRAIN)
    record(compiled, "started", OTHER, number=2**22 + 1)  # no process has this number: it was killed
    third = "train/gt_sft_sums_base_nano"
    record(compiled, "started", third, "ab" * 32)
    record(compiled, "failed", third, "ab" * 32)
    found = json.loads(submitted(compiled, "--json").out)
    assert {TRAIN, OTHER, third} <= set(found["added"])


def test_a_result_of_an_unknown_plan_is_known_by_its_fingerprint(compiled: Project) -> None:
    record(compiled, "started", TRAIN, "ab" * 32)
    record(compiled, "started", "train/of_a_cell_that_went", "cd" * 32)
    found = json.loads(submitted(compiled, "--json").out)
    assert found["removed"] == ["train/of_a_cell_that_went"]
    own = compiled.jobs()[TRAIN]["fingerprint"][:12]
    assert [(change["field"], change["old"], change["new"], change["jobs"]) for change in found["changes"]] == [
        ("fingerprint", "ab" * 6, own, [TRAIN])
    ]


def test_a_ledger_that_cannot_be_read_is_one_message(compiled: Project) -> None:
    (compiled.root / "store" / "ledger" / "toy.tsv").mkdir(parents=True)
    result = submitted(compiled)
    assert (result.code, result.out) == (1, "") and result.err.endswith("toy.tsv: Is a directory.\n")


def test_it_works_without_a_generated_folder(project: Project) -> None:
    found = json.loads(submitted(project, "--json").out)
    assert len(found["added"]) == 65 and not found["notes"]


def test_where_slurm_cannot_be_asked_that_is_said(compiled: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETHE_STORE", str(compiled.root / "store"))
    monkeypatch.setenv("PATH", str(tmp_path))
    compiled.edit("toy.yaml", "cluster: here", "cluster: gres_site")
    compiled.compile()
    record(compiled, "submitted", TRAIN)
    found = json.loads(submitted(compiled, "--json").out)
    assert TRAIN not in found["added"]
    assert found["notes"] == [
        "what is running now is not known: there is no squeue here; ask for the status on a machine of the cluster"
    ]
