"""Every script that the committed specs make: bash reads it, and shellcheck finds nothing in it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.compiler.project import BIN, REPOSITORY, Project

CHOICE = ".selection.yaml"


def waits_for_a_choice(spec: Path) -> bool:
    """Whether its cells are to be chosen from another study's results, and have not been."""
    return "\nfrom:" in spec.read_text() and not spec.with_name(spec.stem + CHOICE).exists()


SPECS = sorted(
    spec.name
    for spec in (REPOSITORY / "specs").glob("*.yaml")
    if not spec.name.endswith(CHOICE) and not waits_for_a_choice(spec)
)
ENOUGH = 100


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("specs") / "project"
    shutil.copytree(REPOSITORY / "specs", root / "specs")
    (root / "requirements").symlink_to(REPOSITORY / "requirements")
    (root / "runtime").symlink_to(REPOSITORY / "runtime")
    project = Project(root)
    for spec in SPECS:
        done = project.lethe("compile", f"specs/{spec}")
        assert done.code == 0, f"{spec}: {done.err}"
    return project


SAME = "|".join([
    "[0-9a-f]{8,}", r"(?<=LETHE_STORE/)\S+", "^#.*$", "^submit .*$", r"^    \d+\).*$", "^study=.*$", "(?<=/generated/)[^/]+",
    "[0-9]+",
])  # fmt: skip


def scripts(project: Project) -> list[Path]:
    """One of each that differ in more than names and numbers."""
    found: dict[str, Path] = {}
    for script in sorted(project.generated.rglob("*.sh")):
        text = re.sub(f"{re.escape(script.stem)}|{SAME}", "", script.read_text(), flags=re.MULTILINE)
        found.setdefault(re.sub("\n+", "\n", text), script)  # however many jobs there are
    return list(found.values())


def test_the_specs_make_many_kinds_of_scripts(compiled: Project) -> None:
    assert len(list(compiled.generated.rglob("*.sh"))) > ENOUGH
    assert {path.name for path in compiled.generated.iterdir() if path.is_dir()} >= {"micro", "phase1", "tofu"}


def test_bash_reads_them(compiled: Project) -> None:
    for script in scripts(compiled):
        done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), script


def test_shellcheck_finds_nothing(compiled: Project) -> None:
    command = [str(BIN / "shellcheck"), "--external-sources", "--severity=style", *map(str, scripts(compiled))]
    done = subprocess.run(command, cwd=compiled.root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
