"""Contracts: what is loaded, and what the guard lets pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import InputError, JobError
from runtime.lifecycle.bracket import CONTENTS, missing_files
from runtime.lifecycle.contract import guard, job_of, load
from runtime.store import markers
from tests.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path / "a 'root'")
    tree.add("prepare/a")
    tree.add("prepare/b")
    tree.add("report/toy", after=["prepare/a"], ended=["prepare/b"])
    return tree.close()


def edit(tree: Tree, job: str, **fields: Any) -> Path:
    path = tree.contract(job)
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return path


def done(tree: Tree, job: str, fingerprint: str | None = None) -> None:
    folder = tree.out(job)
    folder.mkdir(parents=True)
    own = fingerprint or tree.jobs[job]["fingerprint"]
    markers.write(folder, markers.Marker(job, "prepare", "traces", own, {}, None, markers.now()))


def test_paths_are_the_stores_and_the_generated_folders(tree: Tree) -> None:
    contract = load(tree.contract("report/toy"), tree.store)
    assert contract.out == tree.out("report/toy")
    assert contract.config == tree.generated / "configs/report/toy.yaml"
    assert contract.inputs["in0"].path == tree.out("prepare/a")
    assert (contract.job, contract.kind, contract.study, contract.output_type) == (
        "report/toy",
        "report",
        "toy",
        "traces",
    )


def test_the_jobs_code_gets_its_config_parsed(tree: Tree) -> None:
    (tree.generated / "configs/report/toy.yaml").write_text("seed: 1\nlr: 1.0e-05\n")
    job = job_of(load(tree.contract("report/toy"), tree.store))
    assert job.config == {"seed": 1, "lr": 1e-5}
    assert (job.id, job.out, job.cell) == ("report/toy", tree.out("report/toy"), None)


def test_a_relative_store_becomes_absolute(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree.root)
    assert load(tree.contract("report/toy"), Path("store")).out == tree.out("report/toy")


def test_the_guard_passes_when_what_is_required_is_done(tree: Tree) -> None:
    done(tree, "prepare/a")
    guard(load(tree.contract("report/toy"), tree.store))


def test_the_guard_names_the_job_that_is_missing(tree: Tree) -> None:
    with pytest.raises(InputError) as caught:
        guard(load(tree.contract("report/toy"), tree.store))
    assert "in0: prepare/a is not done (no DONE.json in" in str(caught.value)
    assert "prepare/b" not in str(caught.value)
    assert caught.value.exit_code == 65


def test_the_guard_refuses_another_fingerprint(tree: Tree) -> None:
    done(tree, "prepare/a", "0123456789abcdef")
    own = tree.jobs["prepare/a"]["fingerprint"][:12]
    with pytest.raises(InputError, match=f"carries fingerprint 0123456789ab, not {own}; compile the study again"):
        guard(load(tree.contract("report/toy"), tree.store))


def test_the_guard_names_every_culprit(tree: Tree) -> None:
    tree.add("build/c", after=["prepare/a", "prepare/b"])
    with pytest.raises(InputError, match=r"(?s)in0: prepare/a .*in1: prepare/b "):
        guard(load(tree.contract("build/c"), tree.store))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lethe": 2}, "a contract of format 2, but this runtime reads 1"),
        ({"output": {}}, "not a whole contract \\(at 'type'\\)"),
        ({"inputs": []}, "not a whole contract"),
    ],
)
def test_a_contract_that_is_none_is_refused(tree: Tree, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        load(edit(tree, "report/toy", **fields), tree.store)


def test_a_contract_that_cannot_be_read_is_named(tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"none\.json: cannot read this contract \(No such file"):
        load(tmp_path / "none.json", tree.store)
    tree.contract("report/toy").write_text("{")
    with pytest.raises(JobError, match=r"toy\.json: not a contract"):
        load(tree.contract("report/toy"), tree.store)


@pytest.mark.parametrize(
    ("text", "message"), [("a: [1", "not YAML"), ("- 1\n", "must be a mapping"), (None, "cannot read this config")]
)
def test_a_config_that_is_none_is_named(tree: Tree, text: str | None, message: str) -> None:
    path = tree.generated / "configs/report/toy.yaml"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(JobError, match=message):
        job_of(load(tree.contract("report/toy"), tree.store))


@pytest.mark.parametrize("artifact", CONTENTS)
def test_an_empty_folder_is_no_artifact_of_any_type(tmp_path: Path, artifact: str) -> None:
    assert missing_files(artifact, tmp_path)


def test_a_checkpoint_needs_its_config_and_weights_of_either_format(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    assert missing_files("checkpoint.hf", tmp_path) == ["*.safetensors or *.bin"]
    (tmp_path / "model-00001-of-00002.safetensors").touch()
    assert missing_files("checkpoint.hf", tmp_path) == []


def test_a_type_that_nobody_knows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="knows no artifact type 'poem'"):
        missing_files("poem", tmp_path)
