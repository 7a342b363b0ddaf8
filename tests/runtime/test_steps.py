"""Intermediate checkpoints: a training is done when those that others need are there, and `pick` makes one its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.errors import JobError
from runtime.job import Input, Job
from runtime.jobs import pick
from runtime.lifecycle import bracket
from runtime.operations.status import show
from runtime.store import markers
from runtime.store.steps import missing_in
from tests.tree import Tree

COLD = {"LETHE_COLD": "1"}
KEEP = 'mkdir -p "$LETHE_OUT/steps/5"; echo trained >> "$LETHE_STORE/times"; echo > "$LETHE_OUT/traces.jsonl"'
FORGET = 'echo trained >> "$LETHE_STORE/times"; echo > "$LETHE_OUT/traces.jsonl"'


def make(root: Path, steps: tuple[int, ...], body: str = KEEP) -> Tree:
    """One training; its fingerprint does not depend on what it keeps."""
    tree = Tree(root)
    tree.add("train/x", body=body, bracket="python", steps=steps)
    return tree.close()


def times(tree: Tree) -> int:
    return len((tree.store / "times").read_text().splitlines())


# ---- what done means --------------------------------------------------------------------------------------------------


def test_a_training_that_kept_what_others_need_is_not_run_again(tmp_path: Path) -> None:
    tree = make(tmp_path, (5,))
    tree.submit(environment=COLD)
    result = tree.submit(environment=COLD)
    assert "nothing to do: 1 jobs are done" in result.stderr
    assert times(tree) == 1


def test_a_training_that_is_done_without_them_is_trained_again_and_says_why(tmp_path: Path) -> None:
    make(tmp_path / "one", (), FORGET).submit(environment={**COLD, "LETHE_STORE": str(tmp_path / "store")})
    tree = make(tmp_path / "two", (5, 7), 'mkdir -p "$LETHE_OUT/steps/5" "$LETHE_OUT/steps/7"\n' + FORGET)
    (tree.store).symlink_to(tmp_path / "store")
    (tree.out("train/x") / "steps/7").mkdir(parents=True)
    first = tree.submit(environment=COLD)
    assert "submit: train/x is done, but kept no checkpoint of step 5: it is trained again\n" in first.stderr
    assert "train/x is done, but kept no checkpoint of step 5: it is trained again\n" in tree.log("train/x").read_text()
    assert first.returncode == 0 and times(tree) == 2
    assert "nothing to do" in tree.submit(environment=COLD).stderr


def test_a_training_that_ends_without_them_has_failed(tmp_path: Path) -> None:
    tree = make(tmp_path, (5,), FORGET)
    result = tree.submit(environment=COLD)
    assert result.returncode == 1
    assert "train/x ended without keeping a checkpoint of step 5; is it past the last one?" in result.stdout
    assert markers.read(tree.out("train/x")) is None


def test_a_script_that_claims_to_be_done_without_them_is_not_believed(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.add("train/x", body='echo > "$LETHE_OUT/traces.jsonl"', steps=(5, 6))
    result = tree.close().submit(environment=COLD)
    assert result.returncode == 1
    assert "exit code 0, but no checkpoint of step 5, 6 in" in result.stdout


def test_status_counts_it_as_done_with_them_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = make(tmp_path, (5,))
    tree.submit(environment=COLD)
    assert show(tree.generated / "plan.json", tree.store, as_json=False) == 0
    (tree.out("train/x") / "steps/5").rmdir()
    capsys.readouterr()
    assert show(tree.generated / "plan.json", tree.store, as_json=True) == 3
    assert json.loads(capsys.readouterr().out)["counts"]["done"] == 0


def test_a_done_job_loses_its_marker_before_it_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may take the old checkpoint for a finished one while the new one is being made."""
    tree = make(tmp_path, (), FORGET)
    tree.submit(environment=COLD)
    contract = json.loads(tree.contract("train/x").read_text())
    contract["output"]["steps"] = [5]
    tree.contract("train/x").write_text(json.dumps(contract))
    monkeypatch.setenv("LETHE_STORE", str(tree.store))
    bracket.begin(tree.contract("train/x"))
    assert markers.read(tree.out("train/x")) is None


# ---- what another program trains and converts -------------------------------------------------------------------------


def test_shards_that_are_past_a_step_to_be_kept_are_removed_before_the_program_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(tmp_path)
    tree.add("train/x", output="checkpoint.shards", steps=(3,))
    shards = tree.out("train/x") / "global_step_5"
    shards.mkdir(parents=True)
    (shards / "model_world_size_1_rank_0.pt").touch()
    (tree.out("train/x") / "latest_checkpointed_iteration.txt").write_text("5")
    monkeypatch.setenv("LETHE_STORE", str(tree.store))
    bracket.begin(tree.contract("train/x"))
    assert not shards.exists()


def test_a_step_whose_shards_were_not_kept_is_not_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(tmp_path)
    tree.add("train/x")
    tree.add("convert/x.step7", after=["train/x"], config={"step": 7}, output="checkpoint.hf")
    path = tree.contract("convert/x.step7")
    contract = json.loads(path.read_text())
    path.write_text(json.dumps({**contract, "inputs": {"shards": contract["inputs"]["in0"]}}))
    tree.close().submit(environment={**COLD, "LETHE_JOBS": "1"})
    monkeypatch.setenv("LETHE_STORE", str(tree.store))
    (tree.out("convert/x.step7") / markers.NAME).unlink()
    with pytest.raises(JobError, match=r"train/x kept no checkpoint of step 7 .*\(it kept: none\)"):
        bracket.begin(path)
    (tree.out("train/x") / "steps/7").mkdir(parents=True)
    bracket.begin(path)
    for name in ("config.json", "model.safetensors"):
        (tree.out("convert/x.step7") / name).write_text("{}")
    bracket.finish(path)
    marker = markers.read(tree.out("convert/x.step7"))
    assert marker is not None and marker.facts == {"adapter": False}


# ---- pick -------------------------------------------------------------------------------------------------------------


def picking(folder: Path, step: int) -> Job:
    """A pick job of a training that kept steps 5 and 10."""
    run, out = folder / "run", folder / "out"
    for kept in (5, 10):
        (run / f"steps/{kept}").mkdir(parents=True)
        (run / f"steps/{kept}/model.safetensors").write_text(f"weights of {kept}")
        (run / f"steps/{kept}/config.json").write_text("{}")
    out.mkdir()
    return Job("pick/x", "pick", "t", "f", None, {"step": step}, {"run": Input("train/x", "any", run, "f")}, out)


def test_pick_gives_the_checkpoint_of_its_step_without_copying_it(tmp_path: Path) -> None:
    job = picking(tmp_path, 10)
    assert pick.run(job) == {"step": 10, "files": 2}
    picked, kept = job.out / "model.safetensors", job.inputs["run"].path / "steps/10/model.safetensors"
    assert picked.read_text() == "weights of 10" and picked.stat().st_ino == kept.stat().st_ino
    pick.run(job)
    assert sorted(file.name for file in job.out.iterdir()) == ["config.json", "model.safetensors"]


def test_pick_copies_where_the_file_system_has_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr("runtime.store.steps.os.link", refuse)
    job = picking(tmp_path, 5)
    pick.run(job)
    assert (job.out / "model.safetensors").read_text() == "weights of 5"


def test_a_step_that_was_not_kept_is_named_with_those_that_were(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"train/x kept no checkpoint of step 7 in .* \(it kept: 5, 10\)"):
        pick.run(picking(tmp_path, 7))
    assert missing_in(tmp_path / "run", [5, 7, 10, 11]) == [7, 11]
