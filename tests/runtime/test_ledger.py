"""The ledger: append-only lines that outlive crashes."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from runtime.store import ledger
from tests.tree import Tree


def test_lines_come_back_in_order(tmp_path: Path) -> None:
    path = ledger.path_of(tmp_path, "toy")
    ledger.append(path, "started", "train/x", "ff", 12)
    ledger.append(path, "failed", "train/x", "ff", 12, "exit code 1")
    found = ledger.read(path)
    assert [(entry.event, entry.job, entry.fingerprint, entry.id, entry.note) for entry in found] == [
        ("started", "train/x", "ff", "12", ""),
        ("failed", "train/x", "ff", "12", "exit code 1"),
    ]
    assert ledger.latest(found) == {("train/x", "ff"): found[1]}


def test_no_ledger_is_an_empty_one(tmp_path: Path) -> None:
    assert ledger.read(tmp_path / "none.tsv") == []


@given(note=st.text(max_size=40))
def test_no_note_can_break_a_line(tmp_path_factory: object, note: str) -> None:
    path = tmp_path_factory.mktemp("ledger") / "toy.tsv"  # type: ignore[attr-defined]
    ledger.append(path, "failed", "train/x", "ff", 12, note)
    assert [entry.note for entry in ledger.read(path)] == [" ".join(note.split())]


@given(cut=st.integers(min_value=1, max_value=60))
def test_a_line_cut_off_by_a_crash_is_skipped_and_not_glued_to_the_next(tmp_path_factory: object, cut: int) -> None:
    path = tmp_path_factory.mktemp("ledger") / "toy.tsv"  # type: ignore[attr-defined]
    ledger.append(path, "started", "train/x", "ff", 1)
    ledger.append(path, "started", "train/y", "ff", 2)
    path.write_bytes(path.read_bytes()[:-cut])
    ledger.append(path, "started", "train/z", "ff", 3)
    jobs = [entry.job for entry in ledger.read(path)]
    assert jobs[-1] == "train/z"
    assert set(jobs) <= {"train/x", "train/y", "train/z"}


def test_what_bash_writes_python_reads(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root")
    tree.add("train/x")
    tree.close("store=$here/store")
    path = tree.generated / "submit_all.sh"
    more = ['mkdir -p "$store"', "ledger=$store/l.tsv", "record intent train/x '' ''", "record submitted train/x 7 ''", ""]
    path.write_text(path.read_text() + "\n".join(more))
    tree.seal()
    result = tree.submit("--dry-run")
    assert result.returncode == 0, result.stderr
    intent, submitted = ledger.read(tree.generated / "store/l.tsv")
    assert (intent.event, intent.id) == ("intent", "")
    assert (submitted.event, submitted.job, submitted.id) == ("submitted", "train/x", "7")
    assert submitted.fingerprint == tree.jobs["train/x"]["fingerprint"]
    assert len(submitted.time) == len("2026-01-31T12:00:00Z")
