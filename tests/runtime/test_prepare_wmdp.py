"""Job `prepare` for WMDP's corpora: from an encrypted archive, unpacked files, or the archive's address.

`data/wmdp-corpora.zip` was made with `zip -P opensesame`, and has files of made-up texts with the published ones' names.
"""

from __future__ import annotations

import io
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.data.rows import read_rows
from runtime.errors import JobError
from runtime.job import Job
from runtime.jobs import prepare
from tests.runtime.published import DATA, refused, sets_of

MakeJob = Callable[..., Job]

CONFIG: dict[str, Any] = {
    "source": "wmdp",
    "archive": "https://example.org/wmdp-corpora.zip",
    "split": "cyber-forget-corpus",
    "retain": "cyber-retain-corpus",
    "lines": "raw",
    "train": None,
}


@pytest.fixture(autouse=True)
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the archive, and its password."""
    folder = tmp_path / "published"
    folder.mkdir()
    shutil.copy(DATA / "wmdp-corpora.zip", folder)
    monkeypatch.setenv("LETHE_DATASETS", str(folder))
    monkeypatch.setenv("WMDP_PASSWORD", "opensesame")
    return folder


def prepared(make_job: MakeJob, **changed: Any) -> Path:
    job = make_job("prepare/wmdp", {**CONFIG, **changed}, {})
    prepare.run(job)
    return job.out


def test_lines_are_texts_as_they_stand_json_included(make_job: MakeJob) -> None:
    out = prepared(make_job)
    texts = [row["text"] for row in read_rows(out / "train.jsonl")]
    assert [json.loads(text)["title"] for text in texts] == ["A", "B"]
    assert sets_of(out) == ["retain.jsonl", "train.jsonl"]
    assert json.loads((out / "rows.json").read_text()) == {"source": "wmdp", "counts": {"train.jsonl": 2, "retain.jsonl": 1}}


def test_parsed_lines_are_their_field_text(make_job: MakeJob) -> None:
    rows = read_rows(prepared(make_job, lines="parsed") / "train.jsonl")
    assert [row["text"] for row in rows] == ["How a made-up worm spreads.\nIt does not.", "A second harmless text."]


def test_half_a_surrogate_pair_does_not_stop_it(make_job: MakeJob, local: Path) -> None:
    (local / "wmdp-corpora").mkdir()
    (local / "wmdp-corpora/cyber-forget-corpus.jsonl").write_text('{"text": "a \\ud83d b \\ud83d\\ude00"}\n')
    assert read_rows(prepared(make_job, lines="parsed") / "train.jsonl")[0]["text"] == "a ? b 😀"


def test_what_is_given_out_on_request_lies_unpacked_beside_the_archive(make_job: MakeJob, local: Path) -> None:
    (local / "wmdp-corpora").mkdir()
    (local / "wmdp-corpora/bio-forget-corpus.jsonl").write_text('{"text": "On made-up mould."}\n\n')
    out = prepared(make_job, split="bio-forget-corpus", retain="bio-retain-corpus", lines="parsed")
    assert [row["text"] for row in read_rows(out / "train.jsonl")] == ["On made-up mould."]
    assert [row["text"] for row in read_rows(out / "retain.jsonl")] == ["On the colour of leaves."]


def test_the_archive_is_downloaded_where_it_does_not_lie_here(
    make_job: MakeJob, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(address: str, timeout: float) -> io.BytesIO:
        asked.append(address)
        return io.BytesIO((DATA / "wmdp-corpora.zip").read_bytes())

    (local / "wmdp-corpora.zip").unlink()
    monkeypatch.setattr(urllib.request, "urlopen", answer)
    assert len(read_rows(prepared(make_job) / "train.jsonl")) == 2
    assert asked == [CONFIG["archive"]]


def test_without_a_network_one_message_says_what_to_do(make_job: MakeJob, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(address: str, timeout: float) -> io.BytesIO:
        raise urllib.error.URLError("no route to host")

    (local / "wmdp-corpora.zip").unlink()
    monkeypatch.setattr(urllib.request, "urlopen", answer)
    with pytest.raises(JobError, match=r"cannot be had.*no route to host.*LETHE_DATASETS"):
        prepared(make_job)


@pytest.mark.parametrize(("password", "said"), [(None, "password required"), ("wrong", "Bad password")])
def test_a_missing_or_wrong_password_is_asked_for(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, password: str | None, said: str
) -> None:
    if password is None:
        monkeypatch.delenv("WMDP_PASSWORD")
    else:
        monkeypatch.setenv("WMDP_PASSWORD", password)
    with pytest.raises(JobError, match=f"{said}.*set WMDP_PASSWORD"):
        prepared(make_job)


def test_what_is_in_no_archive_is_named_with_where_to_put_it(make_job: MakeJob) -> None:
    with pytest.raises(JobError, match=r"holds no bio-forget-corpus\.jsonl; it has .*bio-retain.* on request"):
        prepared(make_job, split="bio-forget-corpus")


def test_a_broken_archive_is_told(make_job: MakeJob, local: Path) -> None:
    (local / "wmdp-corpora.zip").write_bytes(b"<html>not found</html>")
    with pytest.raises(JobError, match="is no whole zip archive"):
        prepared(make_job)


@pytest.mark.parametrize(
    ("line", "said"),
    [("not json", r"cyber-forget-corpus\.jsonl:2: not JSON"), ('{"body": "x"}', r"jsonl:2: has no field text")],
)
def test_a_line_without_a_text_is_named_where_lines_are_parsed(make_job: MakeJob, local: Path, line: str, said: str) -> None:
    (local / "wmdp-corpora").mkdir()
    (local / "wmdp-corpora/cyber-forget-corpus.jsonl").write_text(f'{{"text": "fine"}}\n{line}\n')
    with pytest.raises(JobError, match=said):
        prepared(make_job, lines="parsed")


def test_a_study_may_ask_for_this() -> None:
    assert refused("prepare_wmdp", CONFIG) == []
