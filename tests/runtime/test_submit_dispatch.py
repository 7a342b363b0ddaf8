"""generated/submit_all.sh: which study it submits, and that it does not guess."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.tree import REPOSITORY


def make(folder: Path, *studies: str) -> Path:
    """A generated folder with these studies, each of which says what it is called with."""
    script = folder / "generated/submit_all.sh"
    script.parent.mkdir()
    script.write_text((REPOSITORY / "templates/dispatch.sh").read_text())
    for study in studies:
        (script.parent / study).mkdir()
        (script.parent / study / "plan.json").touch()
        (script.parent / study / "submit_all.sh").write_text(f'printf "%s" {study}; printf " <%s>" "$@"\n')
    return script


def run(script: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(["bash", str(script), *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_study_is_submitted_by_its_name_with_all_options(tmp_path: Path) -> None:
    script = make(tmp_path, "phase1", "phase2")
    assert run(script, "phase2", "--select", "train/*", "--yes") == (0, "phase2 <--select> <train/*> <--yes>")


def test_one_study_needs_no_name(tmp_path: Path) -> None:
    assert run(make(tmp_path, "phase1"), "--dry-run") == (0, "phase1 <--dry-run>")


@pytest.mark.parametrize(
    ("studies", "words", "said"),
    [
        (["phase1", "phase2"], [], "several studies are compiled here; name one: phase1 phase2"),
        (["phase1", "phase2"], ["--dry-run"], "several studies are compiled here; name one: phase1 phase2"),
        (["phase1"], ["phase"], "there is no study 'phase' here; there are: phase1"),
        ([], [], "no study is compiled here"),
    ],
)
def test_it_does_not_guess(tmp_path: Path, studies: list[str], words: list[str], said: str) -> None:
    code, told = run(make(tmp_path, *studies), *words)
    assert code == 1
    assert said in told
