"""The done-marker: whole or not there, and bound to its fingerprint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.store import markers
from runtime.store.markers import Marker

MARKER = Marker(
    "train/x", "train", "checkpoint.hf", "f" * 64, {"steps": 150, "loss": 0.25}, 8.2, "2026-01-31T12:00:00Z",
    {"name": "verl", "lock": "e" * 64}, ({"job": "generate/pairs", "kind": "generate", "pass_rate": 0.6},),
)  # fmt: skip


def test_what_is_written_is_read(tmp_path: Path) -> None:
    markers.write(tmp_path, MARKER)
    assert markers.read(tmp_path) == MARKER
    assert [path.name for path in tmp_path.iterdir()] == ["DONE.json"]


def test_the_format_is_the_documented_one(tmp_path: Path) -> None:
    markers.write(tmp_path, MARKER)
    assert json.loads((tmp_path / "DONE.json").read_text()) == {
        "lethe": 1,
        "job": "train/x",
        "kind": "train",
        "type": "checkpoint.hf",
        "fingerprint": "f" * 64,
        "facts": {"steps": 150, "loss": 0.25},
        "seconds": 8.2,
        "finished": "2026-01-31T12:00:00Z",
        "environment": {"name": "verl", "lock": "e" * 64},
        "lineage": [{"job": "generate/pairs", "kind": "generate", "pass_rate": 0.6}],
    }


def test_a_marker_of_before_environments_and_lineage_were_recorded_is_one(tmp_path: Path) -> None:
    markers.write(tmp_path, MARKER)
    fields = json.loads((tmp_path / "DONE.json").read_text())
    del fields["environment"], fields["lineage"]
    (tmp_path / "DONE.json").write_text(json.dumps(fields))
    assert markers.is_done(tmp_path, "f" * 64)
    assert markers.read(tmp_path) == replace(MARKER, environment=None, lineage=())


def test_done_means_this_very_fingerprint(tmp_path: Path) -> None:
    assert not markers.is_done(tmp_path, "f" * 64)
    markers.write(tmp_path, MARKER)
    assert markers.is_done(tmp_path, "f" * 64)
    assert not markers.is_done(tmp_path, "e" * 64)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"lethe": 1}', '{"lethe": 1, "job": "x", "more": 2}'])
def test_what_is_no_marker_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "DONE.json").write_text(text)
    assert markers.read(tmp_path) is None
