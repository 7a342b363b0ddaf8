"""An artifact that another study made under another name is linked to, not made again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.lifecycle import bracket
from runtime.store import markers
from runtime.store.markers import Marker
from runtime.store.twins import adopt
from tests.tree import Tree

MINE = "a" * 64


def done(folder: Path, fingerprint: str = MINE, steps: tuple[int, ...] = ()) -> Path:
    """A finished artifact."""
    folder.mkdir(parents=True)
    for step in steps:
        (folder / "steps" / str(step)).mkdir(parents=True)
    markers.write(folder, Marker("train/x", "train", "traces", fingerprint, {}, 1.0, markers.now()))
    return folder


def test_a_finished_twin_of_another_name_becomes_this_jobs_folder(tmp_path: Path) -> None:
    twin, out = done(tmp_path / "train/x-aaaaaaaaaaaa"), tmp_path / "train/y-aaaaaaaaaaaa"
    assert adopt(out, MINE, ()) == twin
    assert out.readlink() == Path(twin.name) and markers.is_done(out, MINE)
    assert adopt(out, MINE, ()) is None  # it has one


def test_a_folder_of_its_own_stays(tmp_path: Path) -> None:
    done(tmp_path / "train/x-aaaaaaaaaaaa")
    out = tmp_path / "train/y-aaaaaaaaaaaa"
    out.mkdir()
    assert adopt(out, MINE, ()) is None and not out.is_symlink()


@pytest.mark.parametrize("why", ["unfinished", "other fingerprint", "no such step", "other kind"])
def test_what_is_no_twin_is_left_alone(why: str, tmp_path: Path) -> None:
    twin = tmp_path / ("generate" if why == "other kind" else "train") / "x-aaaaaaaaaaaa"
    if why == "unfinished":
        twin.mkdir(parents=True)
    else:
        done(twin, "a" * 12 + "b" * 52 if why == "other fingerprint" else MINE, steps=(3,))
    out = tmp_path / "train/y-aaaaaaaaaaaa"
    assert adopt(out, MINE, (5,) if why == "no such step" else (3,)) is None
    assert not out.exists() and not out.is_symlink()


def test_a_link_to_what_was_removed_goes(tmp_path: Path) -> None:
    twin, out = done(tmp_path / "train/x-aaaaaaaaaaaa"), tmp_path / "train/y-aaaaaaaaaaaa"
    adopt(out, MINE, ())
    twin.rename(tmp_path / "elsewhere")
    assert adopt(out, MINE, ()) is None and not out.is_symlink()


def test_links_do_not_lead_to_links(tmp_path: Path) -> None:
    twin = done(tmp_path / "train/x-aaaaaaaaaaaa")
    for name in ("a", "y"):
        adopt(tmp_path / f"train/{name}-aaaaaaaaaaaa", MINE, ())
    assert {path.readlink().name for path in (tmp_path / "train").iterdir() if path.is_symlink()} == {twin.name}


def test_a_job_whose_twin_is_done_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = Tree(tmp_path)
    tree.add("train/x")
    contract = json.loads(tree.contract("train/x").read_text())
    twin = done(tree.store / f"train/other-{contract['fingerprint'][:12]}", contract["fingerprint"])
    monkeypatch.setenv("LETHE_STORE", str(tree.store))
    bracket.begin(tree.contract("train/x"))
    told = capsys.readouterr().out
    assert f"train/x was done under another name: {twin}" in told and "train/x is already done" in told
    assert markers.is_done(tree.out("train/x"), contract["fingerprint"])
