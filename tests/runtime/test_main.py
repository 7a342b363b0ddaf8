"""`python -m runtime`: verbs, exit codes, messages, and how quickly it speaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import benchmarks
from runtime.domains import CONFIGURED, SOURCES
from runtime.graders import GRADERS
from runtime.jobs.train import ALGORITHMS, CLEANING
from runtime.manifest import manifest
from runtime.store import markers
from tests.tree import REPOSITORY, Tree

PREPARE = {"source": "arithmetic", "seed": 1, "train": 5, "eval": 3}


def call(tree: Tree, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runtime", *arguments],
        cwd=tree.root,
        env=tree.environment({"LETHE_STORE": str(tree.store), **more}),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path / "a 'root'")
    tree.add("prepare/a", output="dataset.rows", config=PREPARE)
    return tree.close()


def test_a_native_job_makes_its_artifact_and_then_its_marker(tree: Tree) -> None:
    result = call(tree, "prepare", str(tree.contract("prepare/a")))
    assert result.returncode == 0, result.stderr
    marker = markers.read(tree.out("prepare/a"))
    assert marker is not None
    assert (marker.fingerprint, marker.type) == (tree.jobs["prepare/a"]["fingerprint"], "dataset.rows")
    assert marker.facts == {"train": 5, "eval": 3}
    assert marker.seconds is not None
    assert len((tree.out("prepare/a") / "train.jsonl").read_text().splitlines()) == 5


def test_a_job_that_is_done_is_not_done_again(tree: Tree) -> None:
    call(tree, "prepare", str(tree.contract("prepare/a")))
    (tree.out("prepare/a") / "train.jsonl").unlink()
    result = call(tree, "prepare", str(tree.contract("prepare/a")))
    assert (result.returncode, result.stdout) == (0, f"prepare/a is already done: {tree.out('prepare/a')}\n")
    assert not (tree.out("prepare/a") / "train.jsonl").exists()


def test_a_missing_input_is_exit_65_and_no_folder_is_made(tree: Tree) -> None:
    tree.add("build/b", after=["prepare/a"])
    for verb in ("build", "begin", "finish"):
        result = call(tree, verb, str(tree.contract("build/b")))
        assert result.returncode == 65
        assert "prepare/a is not done" in result.stderr
        assert not tree.out("build/b").exists()


def test_a_users_mistake_is_one_message_and_exit_1(tree: Tree) -> None:
    tree.add("prepare/x", output="dataset.rows", config={**PREPARE, "source": "poetry"})
    result = call(tree, "prepare", str(tree.contract("prepare/x")))
    assert result.returncode == 1
    assert "there is no 'poetry'" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tree.out("prepare/x") / "DONE.json").exists()


def test_a_bug_is_exit_70_with_its_traceback(tree: Tree) -> None:
    tree.add("prepare/x", output="dataset.rows", config={**PREPARE, "train": "five"})
    result = call(tree, "prepare", str(tree.contract("prepare/x")))
    assert result.returncode == 70
    assert "Traceback" in result.stderr


def test_a_contract_of_another_kind_names_the_right_verb(tree: Tree) -> None:
    result = call(tree, "build", str(tree.contract("prepare/a")))
    assert result.returncode == 1
    assert "use: python -m runtime prepare" in result.stderr


def test_code_of_another_version_is_refused(tree: Tree) -> None:
    path = tree.contract("prepare/a")
    path.write_text(json.dumps({**json.loads(path.read_text()), "code": 99}))
    result = call(tree, "prepare", str(path))
    assert result.returncode == 1
    assert "compiled for version 99 of the prepare code, but this runtime has version 1" in result.stderr


def test_without_a_store_the_message_says_what_to_set(tree: Tree) -> None:
    result = call(tree, "prepare", str(tree.contract("prepare/a")), LETHE_STORE="")
    assert result.returncode == 1
    assert "LETHE_STORE is not set" in result.stderr


def test_another_program_is_bracketed_by_begin_and_finish(tree: Tree) -> None:
    tree.add("train/x", output="checkpoint.hf")
    contract = str(tree.contract("train/x"))
    assert call(tree, "begin", contract).returncode == 0
    result = call(tree, "finish", contract)
    assert result.returncode == 1
    assert "train/x ended without making config.json, *.safetensors or *.bin in" in result.stderr
    for name in ("config.json", "model.safetensors"):
        (tree.out("train/x") / name).touch()
    assert call(tree, "finish", contract).returncode == 0
    assert markers.is_done(tree.out("train/x"), tree.jobs["train/x"]["fingerprint"])
    assert "already done" in call(tree, "begin", contract).stdout


def test_help_teaches_with_what_is_always_there(tree: Tree) -> None:
    result = call(tree, "--help")
    assert result.returncode == 0
    native = [kind for kind, item in manifest()["kinds"].items() if not item.get("external")]
    for word in (*native, "begin", "finish", "status", "submit_all.sh", "exit codes"):
        assert word in result.stdout


def test_help_and_status_import_nothing_heavy(tree: Tree) -> None:
    modules = ("__main__", "operations.status", "local.executor", "local.warm", "lifecycle.bracket")
    code = f"import sys, {', '.join(f'runtime.{name}' for name in modules)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    top = {name.partition(".")[0] for name in loaded.stdout.split()}
    assert not top & {"torch", "transformers", "numpy", "datasets", "pydantic", "yaml", "jinja2", "compiler"}


def test_the_manifest_says_what_the_runtime_has() -> None:
    modules = {path.stem for path in (REPOSITORY / "runtime/jobs").glob("[!_]*.py")}
    assert {kind for kind, item in manifest()["kinds"].items() if not item.get("external")} == modules
    assert manifest()["sources"] == sorted([*SOURCES, *CONFIGURED, *benchmarks.SOURCES])
    assert manifest()["algorithms"] == sorted([*ALGORITHMS, CLEANING])
    assert list(manifest()["graders"]) == sorted(GRADERS)
    assert all(kind["version"] >= 1 for kind in manifest()["kinds"].values())


def test_a_reader_that_has_read_enough_is_no_mistake(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    plan = REPOSITORY / "generated" / "micro" / "plan.json"
    asked = [sys.executable, "-m", "runtime", "status", str(plan), "--store", str(tmp_path), "--json"]
    result = subprocess.run(asked, cwd=REPOSITORY, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (result.returncode, result.stderr) == (0, "")
