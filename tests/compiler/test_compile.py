"""Compiling: the same bytes from the same spec, all of them or none, and nothing touched that does not change."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import compiler.output.write
from tests.compiler import forked
from tests.compiler.project import BIN, Project

PLACES = "catalog/places.yaml"
SLOWER = (PLACES, "train: {time: 2:00:00", "train: {time: 4:00:00")


def without_exchange() -> None:
    """A C library, or a file system, that cannot exchange two folders in one step."""
    compiler.output.write.ctypes = SimpleNamespace(CDLL=lambda *_, **__: SimpleNamespace(), get_errno=lambda: 0)  # type: ignore


# --- the same bytes -------------------------------------------------------------------------------------------------------


def test_compiling_says_what_it_did_and_what_comes_next(project: Project) -> None:
    result = project.lethe("compile", "specs/toy.yaml")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "generated/toy: 14 cells, 65 jobs, 199 files, written.",
        "Read generated/toy/PLAN.md, then: bash generated/submit_all.sh toy",
    ]
    assert "199 files, unchanged." in project.lethe("compile", "specs/toy.yaml").out
    assert json.loads(project.lethe("compile", "specs/toy.yaml", "--json").out) == {
        "study": "toy", "folder": "generated/toy", "jobs": 65, "cells": 14, "changed": False, "shared_with": [],
        "warnings": [],
    }  # fmt: skip


def test_validating_writes_nothing(project: Project) -> None:
    result = project.lethe("validate", "specs/toy.yaml")
    assert (result.code, result.out) == (0, "specs/toy.yaml: fine. 14 cells, 65 jobs on cluster here.\n")
    facts = json.loads(project.lethe("validate", "specs/toy.yaml", "--json").out)
    assert facts == {"study": "toy", "cells": 14, "jobs": 65, "warnings": []}
    assert not project.generated.exists()


def test_compiling_again_touches_no_file(compiled: Project) -> None:
    before = compiled.snapshot()
    compiled.compile()
    assert compiled.snapshot() == before


def test_the_bytes_depend_on_the_spec_alone(shared: Project, tmp_path: Path) -> None:
    """Not on the folder, the order of hashes, the locale, the time zone or the umask."""
    elsewhere = Project.make(tmp_path / "a folder with blanks" / "deep")
    environment = {"PYTHONHASHSEED": "7", "LC_ALL": "C", "TZ": "Asia/Kathmandu", "COLUMNS": "20"}
    done = elsewhere.shell(
        "bash", "-c", f'umask 0002; {BIN / "compile"} "$PWD/specs/../specs/toy.yaml"', environment=environment
    )
    assert done.code == 0, done.err
    assert elsewhere.files() == shared.files()


def test_both_commands_are_the_same(project: Project, shared: Project) -> None:
    assert project.shell(str(BIN / "lethe"), "compile", "./specs/toy.yaml").code == 0
    assert project.files() == shared.files()


def test_scripts_can_be_run(compiled: Project) -> None:
    scripts = list(compiled.tree.rglob("*.sh"))
    assert len(scripts) == 66 and all(os.access(path, os.X_OK) for path in scripts)


def test_only_files_that_differ_are_written_again(compiled: Project) -> None:
    before = compiled.snapshot()
    compiled.edit("toy.yaml", "lr: 5e-4", "lr: 6e-4")
    compiled.compile()
    after = compiled.snapshot()
    same = {name for name, seen in after.items() if before.get(name) == seen}
    changed = {name.removeprefix("generated/toy/") for name in set(after) - same if name.endswith((".yaml", ".sh", ".json"))}
    jobs = [name for name in compiled.jobs() if "gt_sft_facts" in name and name.startswith(("train/", "evaluate/"))]
    trained = [name for name in jobs if name.startswith("train/")]
    assert changed == {"plan.json", "submit_all.sh", "jobs/report/toy.sh", "jobs/report/toy.json"} | {
        f"{folder}/{name}.{ending}" for name in jobs for folder, ending in (("jobs", "sh"), ("jobs", "json"))
    } | {f"configs/{name}.yaml" for name in trained}
    assert len(same) > 150


def test_what_is_no_longer_compiled_disappears(compiled: Project) -> None:
    assert (compiled.tree / "jobs/train/on_rl_sums_base_nano.sh").exists()
    compiled.edit("toy.yaml", "rs_sft, on_rl, staged", "rs_sft, staged")
    compiled.compile()
    assert not [name for name in compiled.files() if "on_rl" in name]
    compiled.edit("toy.yaml", "method: [gt_sft, rs_sft, staged]", "method: [gt_sft, staged]")
    compiled.compile()
    assert not (compiled.tree / "jobs" / "generate").exists(), "a kind without jobs has no folder"


def test_a_second_study_leaves_the_first_alone(compiled: Project) -> None:
    before = compiled.snapshot()
    text = compiled.spec.read_text()
    (compiled.root / "specs" / "other.yaml").write_text(text.replace("study: toy", "study: other"))
    assert compiled.lethe("compile", "specs/other.yaml").code == 0
    after = compiled.snapshot()
    assert {name: seen for name, seen in after.items() if name in before and name != "generated"} == {
        name: seen for name, seen in before.items() if name != "generated"
    }
    assert "generated/other/plan.json" in after


def test_the_manifest_is_what_sha256sum_checks(compiled: Project) -> None:
    checked = subprocess.run(["sha256sum", "-c", "--strict", "--quiet", "manifest.sha256"], cwd=compiled.tree, check=False)
    assert checked.returncode == 0
    listed = {line.split("  ", 1)[1] for line in (compiled.tree / "manifest.sha256").read_text().splitlines()}
    assert {f"toy/{name}" for name in listed | {"manifest.sha256"}} | {"submit_all.sh"} == set(compiled.files())


# --- edits by hand --------------------------------------------------------------------------------------------------------


def append(path: Path) -> None:
    path.write_text(path.read_text() + "# mine\n")


def test_a_file_edited_by_hand_is_refused_by_name_and_overwritten_on_demand(compiled: Project) -> None:
    clean = compiled.files()
    append(compiled.tree / "jobs/train/gt_sft_sums_base_nano.sh")
    before = compiled.snapshot()
    result = compiled.lethe("compile", "specs/toy.yaml")
    assert (result.code, result.out, result.err.splitlines()) == (1, "", [
        "these files are not as they were compiled:",
        "  generated/toy/jobs/train/gt_sft_sums_base_nano.sh",
        "Put what you changed into the spec, or discard it with: lethe compile --overwrite",
    ])  # fmt: skip
    assert compiled.snapshot() == before
    assert compiled.lethe("compile", "specs/toy.yaml", "--overwrite").code == 0
    assert compiled.files() == clean


def remove(path: Path) -> None:
    path.unlink()


def garbage(path: Path) -> None:
    path.write_bytes(b"\xff\x00 no sums\n")


@pytest.mark.parametrize(
    ("damage", "file", "named"),
    [
        (append, "PLAN.md", "PLAN.md"),
        (remove, "configs/report/toy.yaml", "configs/report/toy.yaml"),
        (Path.touch, "notes.txt", "notes.txt"),
        (remove, "manifest.sha256", "PLAN.md"),
        (garbage, "manifest.sha256", "manifest.sha256"),
    ],
)
def test_whatever_is_not_as_compiled_is_named(damage: Callable[[Path], None], file: str, named: str, compiled: Project) -> None:
    clean = compiled.files()
    damage(compiled.tree / file)
    before = compiled.snapshot()
    result = compiled.lethe("compile", "specs/toy.yaml")
    assert result.code == 1 and "Traceback" not in result.err
    assert f"\n  generated/toy/{named}\n" in result.err or "\n  and " in result.err
    assert len(result.err.splitlines()) <= 13
    assert compiled.snapshot() == before
    assert compiled.lethe("compile", "specs/toy.yaml", "--overwrite").code == 0
    assert compiled.files() == clean


def test_a_folder_that_was_never_compiled_is_not_taken_over(project: Project) -> None:
    project.tree.mkdir(parents=True)
    (project.tree / "thesis.tex").write_text("years of work\n")
    result = project.lethe("compile", "specs/toy.yaml")
    assert result.code == 1 and "generated/toy/thesis.tex" in result.err
    assert (project.tree / "thesis.tex").read_text() == "years of work\n"


def test_a_link_to_a_folder_stays_a_link(compiled: Project) -> None:
    real = compiled.root / "elsewhere"
    compiled.tree.rename(real)
    compiled.tree.symlink_to(real)
    compiled.edit(*SLOWER)
    compiled.compile()
    assert compiled.tree.is_symlink()
    assert "--time=4:00:00" in (real / "jobs/train/gt_sft_sums_base_nano.sh").read_text()
    assert [path.name for path in compiled.generated.glob(".*")] == []


# --- what cannot be written -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["generated", "generated/toy"])
def test_a_file_in_the_place_of_a_folder_is_left_there(place: str, project: Project) -> None:
    (project.root / place).parent.mkdir(exist_ok=True)
    (project.root / place).write_text("a file\n")
    result = project.lethe("compile", "specs/toy.yaml")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("cannot write generated/toy: ") and result.err.endswith("Nothing there was changed.\n")
    assert (project.root / place).read_text() == "a file\n"
    assert [path.name for path in project.root.rglob(".*")] == []


def test_a_folder_that_cannot_be_read_is_one_message(compiled: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open

    def refuse(path: Any, *how: Any, **more: Any) -> Any:
        if str(path).endswith("plan.json"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *how, **more)

    monkeypatch.setattr("builtins.open", refuse)
    for arguments in (["compile"], ["compile", "--overwrite"], ["diff"]):
        result = compiled.lethe(*arguments, "specs/toy.yaml")
        assert (result.code, result.err) == (1, "cannot read generated/toy: Permission denied.\n")


def test_a_full_disk_leaves_everything_as_it_was(compiled: Project) -> None:
    """Wherever it turns out to be full: at the first folder, a link, a new file, the exchange."""
    before, files = compiled.snapshot(), compiled.files()
    compiled.edit(*SLOWER)
    total = forked.changes(Project.make(compiled.root / "other"), lambda: None)
    for number in [1, 2, 5, *random.Random(1).sample(range(6, total // 2), 4)]:
        result = forked.run(compiled, forked.at_change(number, forked.fill_up))
        assert (result.code, result.out) == (1, ""), number
        assert result.err == "cannot write generated/toy: No space left on device. Nothing there was changed.\n"
        assert compiled.files() == files
        assert {name: seen for name, seen in compiled.snapshot().items() if name != "generated"} == {
            name: seen for name, seen in before.items() if name != "generated"
        }


def test_a_disk_that_fills_up_within_a_file_leaves_everything_as_it_was(compiled: Project) -> None:
    def small_files_only() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    files = compiled.files()
    compiled.edit(*SLOWER)
    result = forked.run(compiled, small_files_only)
    assert (result.code, result.err) == (1, "cannot write generated/toy: File too large. Nothing there was changed.\n")
    assert compiled.files() == files
    assert [path.name for path in compiled.generated.glob(".*")] == []


def test_the_old_tree_comes_back_when_the_second_of_two_renames_fails(compiled: Project) -> None:
    files = compiled.files()
    compiled.edit(*SLOWER)
    rename = Path.rename

    def prepare() -> None:
        without_exchange()
        renamed: list[Path] = []

        def fails(path: Path, target: Path) -> Path:
            renamed.append(path)
            if len(renamed) == 2:
                raise OSError(errno.EIO, "Input/output error")
            return rename(path, target)

        Path.rename = fails  # type: ignore[method-assign]

    result = forked.run(compiled, prepare)
    assert (result.code, result.err) == (1, "cannot write generated/toy: Input/output error. Nothing there was changed.\n")
    assert compiled.files() == files


# --- what is interrupted --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fallback", [False, True], ids=["exchange", "two renames"])
def test_killed_at_any_step_the_tree_is_the_old_one_or_the_new_one(fallback: bool, compiled: Project, tmp_path: Path) -> None:
    """With two renames there is a moment without a tree; the next compile mends that, too."""
    old = compiled.files()
    twin = Project.make(tmp_path / "twin")
    twin.compile()
    twin.edit(*SLOWER)
    total = forked.changes(twin, without_exchange if fallback else lambda: None)
    new = twin.files()
    slower = (twin.root / "specs" / PLACES).read_text()
    quick = (compiled.root / "specs" / PLACES).read_text()
    chance = random.Random(2)
    linked = len(old) + 15  # by then every file is there, and the trees are about to change places
    steps = {0, 1, *range(linked - 6, linked + 12, 3), *chance.sample(range(total), 2), total - 1}
    seen = []
    for step in sorted(steps):
        (compiled.root / "specs" / PLACES).write_text(slower)
        killed = forked.run(compiled, both(without_exchange if fallback else None, forked.at_change(step, forked.kill)))
        assert killed.code == forked.KILLED, step
        found = {name: content for name, content in compiled.files().items() if not name.startswith(".")}
        seen.append("old" if found == old else "new" if found == new else "none" if fallback and len(found) == 1 else "torn")
        compiled.compile()
        assert compiled.files() == new, "and the next compile works"
        (compiled.root / "specs" / PLACES).write_text(quick)
        compiled.compile()
        assert compiled.files() == old
    assert seen == sorted(seen, key=["old", "none", "new"].index) and {"old", "new"} <= set(seen), seen


def both(first: Callable[[], None] | None, second: Callable[[], None]) -> Callable[[], None]:
    def prepare() -> None:
        if first:
            first()
        second()

    return prepare


def test_killed_at_any_moment_the_tree_is_the_old_one_or_the_new_one(compiled: Project) -> None:
    """By a real SIGKILL from outside."""
    old = compiled.files()
    compiled.edit(*SLOWER)
    chance = random.Random(3)
    for _ in range(5):
        process = subprocess.Popen([str(BIN / "compile"), "specs/toy.yaml"], cwd=compiled.root, stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.3, 0.6))
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        found = {name: content for name, content in compiled.files().items() if not name.startswith(".")}
        assert set(found) == set(old)
        assert (found == old) == (found["toy/plan.json"] == old["toy/plan.json"])
    compiled.compile()
    assert [path.name for path in compiled.generated.glob(".*")] == []


def test_two_renames_do_what_one_exchange_does(compiled: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler.output.write, "_exchanged", lambda one, other: False)
    compiled.edit(*SLOWER)
    compiled.compile()
    assert "--time=4:00:00" in (compiled.tree / "jobs/train/gt_sft_sums_base_nano.sh").read_text()
    assert [path.name for path in compiled.generated.glob(".*")] == []


def test_an_interrupt_from_the_keyboard_changes_nothing(compiled: Project) -> None:
    files = compiled.files()
    compiled.edit(*SLOWER)

    def interrupt() -> None:
        raise KeyboardInterrupt

    result = forked.run(compiled, forked.at_change(20, interrupt))
    assert (result.code, result.err) == (130, "lethe: interrupted; generated/ is as it was\n")
    assert compiled.files() == files
