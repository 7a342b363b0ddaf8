"""`lethe lock`: what moves is looked up once, written beside the spec, and holds from then on."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from compiler.lock.file import Lock, Locked, read_lock, text_of
from compiler.lock.pins import Pin, pins_of
from tests.compiler.project import Project, descendants
from tests.compiler.small import AXES, plan

HERE, THERE, GIVEN = "a" * 40, "b" * 40, "0123456789abcdef0123456789abcdef01234567"  # the last stands in the toy catalog
SMALL = "Example/Small-Base"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, and no network."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "hf" / "hub"


@pytest.fixture
def hub(project: Project, cache: Path) -> Project:
    """A project whose study has two models of the hub, one named at a commit, and an environment that names its files."""
    (project.root / "pinned.txt").write_text("torch==2.13.0\n")
    project.edit("catalog/places.yaml", '{OMP_NUM_THREADS: "1"}\n', '{OMP_NUM_THREADS: "1"}\n        files: [pinned.txt]\n')
    plan(project, axes={**AXES, "scale": ["hub"], "start": ["base", "safe"]})
    return project


def downloaded(cache: Path, folder: str, commit: str, revision: str = "main") -> None:
    """Leave in the cache what a download leaves."""
    place = cache / folder / "refs" / revision
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(commit)


def lock(project: Project, *words: str) -> dict[str, Any]:
    done = project.lethe("lock", "specs/toy.yaml", *words)
    assert done.code in (0, 3), done.err
    found: dict[str, Any] = yaml.safe_load((project.root / "specs/toy.lock").read_text())
    return found


# --- what is locked -------------------------------------------------------------------------------------------------------


def test_models_get_the_commit_that_this_machine_has_and_environments_their_hashes(hub: Project, cache: Path) -> None:
    downloaded(cache, "models--Example--Small-Base", HERE)
    done = hub.lethe("lock", "specs/toy.yaml")
    assert (done.code, done.err) == (0, "")
    assert done.out == "specs/toy.lock: 2 models, 0 data sets, 1 files locked; 0 not; written.\n"
    assert lock(hub) == {
        "lethe": 1, "study": "toy", "models": {SMALL: {"main": HERE}, "Example/Small": {GIVEN: GIVEN}},
        "files": {"pinned.txt": hashlib.sha256(b"torch==2.13.0\n").hexdigest()},
    }  # fmt: skip


def test_what_cannot_be_told_is_printed_and_listed_with_the_reason(hub: Project) -> None:
    (hub.root / "pinned.txt").unlink()
    done = hub.lethe("lock", "specs/toy.yaml")
    why = "not in this machine's Hugging Face cache; the hub was not asked, since HF_HUB_OFFLINE is set"
    assert done.code == 3 and done.err.splitlines() == [
        "not locked: file pinned.txt: cannot be read here: No such file or directory",
        f"not locked: model {SMALL} at main: {why}",
    ]
    assert lock(hub)["unresolved"] == {
        "file pinned.txt": "cannot be read here: No such file or directory", f"model {SMALL} at main": why,
    }  # fmt: skip


def test_a_cluster_that_says_nothing_of_its_environments_is_told(hub: Project) -> None:
    hub.edit("catalog/places.yaml", "        files: [pinned.txt]\n", "")
    assert "environment train" in lock(hub)["unresolved"]


def test_a_path_that_only_the_job_knows_is_not_read_here(hub: Project) -> None:
    hub.edit("catalog/places.yaml", "[pinned.txt]", '["$SCRATCH/image.sif"]')
    assert lock(hub)["unresolved"]["file $SCRATCH/image.sif"] == "its path is known only where its jobs run"


@pytest.mark.parametrize("content", ["main", "", "A" * 40, "a" * 39, "\xff"])
def test_a_cache_that_holds_no_commit_is_not_believed(content: str, hub: Project, cache: Path) -> None:
    downloaded(cache, "models--Example--Small-Base", content)
    assert f"model {SMALL} at main" in lock(hub)["unresolved"]


def test_branches_with_slashes_are_found(hub: Project, cache: Path) -> None:
    hub.edit("catalog/subjects.yaml", "hub: Example/Small-Base, revision: main", "hub: Example/Small-Base, revision: refs/pr/3")
    downloaded(cache, "models--Example--Small-Base", HERE, "refs/pr/3")
    assert lock(hub)["models"][SMALL] == {"refs/pr/3": HERE}


def test_locking_again_changes_nothing_and_needs_no_cache(hub: Project, cache: Path) -> None:
    downloaded(cache, "models--Example--Small-Base", HERE)
    lock(hub)
    file = hub.root / "specs/toy.lock"
    before = (file.read_bytes(), file.stat().st_mtime_ns)
    downloaded(cache, "models--Example--Small-Base", THERE)
    assert "unchanged" in hub.lethe("lock", "specs/toy.yaml").out
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert lock(hub, "--update")["models"][SMALL] == {"main": THERE}
    (cache / "models--Example--Small-Base/refs/main").unlink()
    assert lock(hub, "--update")["models"][SMALL] == {"main": THERE}


def test_what_the_study_does_not_name_any_more_leaves_the_lock(hub: Project, cache: Path) -> None:
    downloaded(cache, "models--Example--Small-Base", HERE)
    lock(hub)
    hub.edit("toy.yaml", '"base",', "")
    assert list(lock(hub)["models"]) == ["Example/Small"]


def test_json_says_the_same(hub: Project) -> None:
    found = json.loads(hub.lethe("lock", "specs/toy.yaml", "--json").out)
    assert found["file"] == "specs/toy.lock" and found["changed"]
    assert found["models"] == {"Example/Small": {GIVEN: GIVEN}} and len(found["unresolved"]) == 1


# --- asking the hub -------------------------------------------------------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """Knows one model, and which commit its branch points to."""

    def do_GET(self) -> None:
        known = self.path.partition("?")[0] == f"/api/models/{SMALL}/revision/main"
        body = json.dumps({"id": SMALL, "sha": THERE} if known else {"error": "not found"}).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_hub_is_asked_for_what_the_cache_has_not(hub: Project, address: str) -> None:
    hub.edit("catalog/subjects.yaml", f"revision: {GIVEN}", "revision: main")
    online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": address}
    done = hub.shell(sys.executable, "-m", "compiler.cli", "lock", "specs/toy.yaml", environment=online)
    assert done.code == 3, done.err
    found = yaml.safe_load((hub.root / "specs/toy.lock").read_text())
    assert found["models"] == {SMALL: {"main": THERE}}
    why = found["unresolved"]["model Example/Small at main"]
    assert why.endswith("; the hub has no such name, or shows it to members only (set HF_TOKEN)")


def test_a_hub_that_cannot_be_reached_is_no_mistake(hub: Project) -> None:
    nowhere = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = hub.shell(sys.executable, "-m", "compiler.cli", "lock", "specs/toy.yaml", environment=nowhere)
    assert done.code == 3 and "the hub cannot be reached from here" in done.err


# --- what a lock does -----------------------------------------------------------------------------------------------------


def test_a_locked_commit_takes_the_place_of_the_branch_and_is_part_of_the_fingerprint(hub: Project, cache: Path) -> None:
    before = hub.jobs()
    assert any(SMALL in warning for warning in hub.plan()["warnings"])
    downloaded(cache, "models--Example--Small-Base", HERE)
    lock(hub)
    after = {job["id"]: job for job in hub.compile()["jobs"]}
    fetched = after["fetch/base_hub"]
    assert fetched["settings"]["revision"] == fetched["config"]["revision"] == HERE
    assert fetched["provenance"] == {"hub": f"model {SMALL}", "revision": "lock toy.lock", "prompt": "the start's prompt"}
    assert {name for name in after if after[name]["fingerprint"] != before[name]["fingerprint"]} == descendants(
        after, {"fetch/base_hub"}
    )
    assert not any(SMALL in warning for warning in hub.plan()["warnings"])
    assert {name: job["cost"] for name, job in after.items()} == {name: job["cost"] for name, job in before.items()}
    assert all(job["cost"]["node_memory"] for job in after.values() if job["kind"] == "train")
    told = hub.lethe("explain", "specs/toy.yaml", "fetch/base_hub", "revision").out
    assert re.search(f"holds +{HERE} +lock toy.lock", told) and re.search(f"replaced +main +model {SMALL}", told)


def test_naming_the_commit_in_the_spec_comes_to_the_same_fingerprints(hub: Project, cache: Path) -> None:
    downloaded(cache, "models--Example--Small-Base", HERE)
    lock(hub)
    locked = {job["id"]: job["fingerprint"] for job in hub.compile()["jobs"]}
    (hub.root / "specs/toy.lock").unlink()
    hub.edit("catalog/subjects.yaml", f"hub: {SMALL}, revision: main", f'hub: {SMALL}, revision: "{HERE}"')
    assert {job["id"]: job["fingerprint"] for job in hub.compile()["jobs"]} == locked


def test_data_sets_are_locked_wherever_settings_name_them() -> None:
    refusals = {"hub": "open/idk", "revision": "main", "file": "idk.jsonl"}
    settings = {"type": "dataset.unlearning", "refusals": refusals, "seed": 1}
    locked = Locked(Path("x.lock"), Lock(lethe=1, study="x", datasets={"open/idk": {"main": HERE}}))
    assert list(pins_of("build", settings)) == [(("refusals",), Pin("datasets", "open/idk", "main"))]
    assert locked.amendment().settings("build", settings) == {"refusals": {"revision": HERE}}
    assert locked.amendment().settings("fetch", refusals) == {}  # that would be a model


# --- --locked -------------------------------------------------------------------------------------------------------------


def test_locked_compiles_what_is_locked(hub: Project, cache: Path) -> None:
    downloaded(cache, "models--Example--Small-Base", HERE)
    lock(hub)
    assert hub.lethe("compile", "specs/toy.yaml", "--locked").code == 0


def test_locked_refuses_without_a_lock_and_says_how_to_get_one(hub: Project) -> None:
    before = hub.snapshot()
    done = hub.lethe("compile", "specs/toy.yaml", "--locked")
    assert done.code == 1 and done.err == (
        "specs/toy.yaml has no lock: there is no specs/toy.lock. Write it with: lethe lock specs/toy.yaml\n"
    )
    assert hub.snapshot() == before


def test_locked_names_everything_that_is_not_locked_or_has_changed(hub: Project, cache: Path) -> None:
    downloaded(cache, "models--Example--Small-Base", HERE)
    lock(hub)
    (hub.root / "pinned.txt").write_text("torch==2.14.0\n")
    (hub.root / "more.txt").write_text("trl\n")
    hub.edit("catalog/places.yaml", "[pinned.txt]", "[pinned.txt, more.txt, gone.txt]")
    hub.edit("catalog/subjects.yaml", "hub: Example/Small-Base, revision: main", "hub: Example/Small-Base, revision: v2")
    done = hub.lethe("compile", "specs/toy.yaml", "--locked")
    was, now = (hashlib.sha256(f"torch==2.{n}.0\n".encode()).hexdigest()[:12] for n in (13, 14))
    assert done.code == 1 and done.err.splitlines() == [
        "specs/toy.yaml is not what specs/toy.lock locks:",
        f"  model {SMALL} at v2 is not locked",
        "  file gone.txt cannot be read here: No such file or directory",
        "  file more.txt is not locked",
        f"  file pinned.txt has changed: it was {was} when it was locked, and is {now}",
        "Lock it again with: lethe lock specs/toy.yaml",
    ]


# --- the file -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lethe: 1\nstudy: toy\nmodels: {Example/Small-Base: {main: abc}}\n", "toy.lock:3:"),
        ("lethe: 2\nstudy: toy\n", "toy.lock:1:"),
        ("lethe: 1\nstudy: toy\nmodel: {}\n", "toy.lock:3:"),
        ("", "toy.lock: error: the file is empty"),
    ],
)
def test_a_lock_that_is_none_is_a_mistake_at_its_place(text: str, message: str, hub: Project) -> None:
    (hub.root / "specs/toy.lock").write_text(text)
    for verb in ("compile", "lock"):
        done = hub.lethe(verb, "specs/toy.yaml")
        assert done.code == 1 and message in done.err, done.err


commits = st.text("0123456789abcdef", min_size=40, max_size=40)
revisions = st.dictionaries(st.from_regex(r"[A-Za-z0-9._/-]{1,20}", fullmatch=True), commits, min_size=1, max_size=3)
groups = st.dictionaries(st.from_regex(r"[A-Za-z0-9]\w{0,5}/\w[\w.-]{0,9}", fullmatch=True), revisions, max_size=4)


@given(models=groups, datasets=groups, order=st.randoms())
def test_any_lock_reads_back_as_it_was_written_and_its_text_does_not_depend_on_order(
    models: dict[str, Any], datasets: dict[str, Any], order: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    turned = list(models.items())
    order.shuffle(turned)
    lock, again = (Lock(lethe=1, study="x", models=m, datasets=datasets) for m in (models, dict(turned)))
    spec = tmp_path_factory.getbasetemp() / "any.yaml"
    assert text_of(lock, spec) == text_of(again, spec)
    spec.with_suffix(".lock").write_text(text_of(lock, spec))
    read = read_lock(spec)
    assert read is not None and read.lock == lock
