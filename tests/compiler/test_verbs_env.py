"""`lethe env`: environments are listed, built from their locks, and compared with them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.compiler.placed import LOCK, lock
from tests.compiler.project import Project


def wheel(folder: Path, name: str, version: str) -> str:
    """Make a wheel of one empty module; its line in a lock."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "", f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }  # fmt: skip
    record = "".join(f"{file},sha256={digest(text)},{len(text)}\n" for file, text in files.items())
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(file, text)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def index(placed: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, the only place where pip looks."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    folder = placed.root / "wheels"
    for name, value in {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}.items():
        monkeypatch.setenv(name, value)
    return folder


def listed(project: Project) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(project.lethe("env", "list", "--json").out)
    return found


def test_environments_are_listed_with_their_locks(placed: Project) -> None:
    (found,) = listed(placed)
    assert found == {
        "name": "small", "about": "Enough for the toy study", "python": "3.11", "files": ["locks/small.lock"],
        "lock": hashlib.sha256(LOCK.encode()).hexdigest(), "packages": len(LOCK.splitlines()), "provides": ["gpu", "network"],
    }  # fmt: skip
    assert placed.lethe("env", "list").out.split()[:2] == ["small", found["lock"][:12]]


def test_an_environment_is_built_from_its_lock_and_checked_against_it(
    placed: Project, index: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lock(placed, wheel(index, "tiny", "1.0") + wheel(index, "other", "2.0"))
    built = placed.lethe("env", "build", "small", "--at", "here")
    assert (built.code, built.err) == (0, ""), capfd.readouterr()
    assert built.out.endswith(": as locked.\n")
    assert (placed.root / "here/lib/python3.11/site-packages/tiny.py").is_file()
    lock(placed, wheel(index, "tiny", "1.1") + wheel(index, "third", "1.0"))
    checked = placed.lethe("env", "check", "small", "--at", "here", "--json")
    differing = json.loads(checked.out)["differences"]
    assert (checked.code, [(one["package"], one["locked"], one["installed"]) for one in differing]) == (
        2, [("third", "1.0", None), ("tiny", "1.1", "1.0")],
    )  # fmt: skip
    assert placed.lethe("env", "check", "small", "--at", "here").out.splitlines()[:2] == [
        "third 1.0 is not installed", "tiny is 1.0, and locked at 1.1",
    ]  # fmt: skip
    lock(placed, wheel(index, "verl", "0.9.1"))
    placed.lethe("env", "build", "small", "--at", "here")
    wheel(index, "trl", "1.16.0")
    subprocess.run([placed.root / "here/bin/python", "-m", "pip", "install", "-q", "trl"], check=True)
    beside = placed.lethe("env", "check", "small", "--at", "here")
    assert beside.code == 2 and "trl 1.16.0 does not live with verl 0.9.1" in beside.out


def test_a_file_with_another_hash_is_not_installed(placed: Project, index: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = wheel(index, "tiny", "1.0")
    lock(placed, line[:-65] + "0" * 64 + "\n")
    found = placed.lethe("env", "build", "small", "--at", "here")
    assert found.code == 1 and "pip could not install locks/small.lock" in found.err
    assert "DO NOT MATCH THE HASHES" in capfd.readouterr().err
    assert not (placed.root / "here/lib/python3.11/site-packages/tiny.py").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["check", "small", "--at", "nowhere"], "there is no environment at"),
        (["check", "smal"], "did you mean 'small'?"),
        (["check", "small", "--cluster", "gres_sit"], "did you mean 'gres_site'?"),
        (["check", "small", "--cluster", "node_site"], "cluster 'node_site' has no environment 'small'"),
        (
            ["check", "small", "--cluster", "gres_site"],
            "$SCRATCH/envs/train/bin/activate names a variable that is not set here",
        ),
        (["build", "small", "--at", "specs"], "specs is there already and no virtual environment"),
        (["build", "small", "--at", "a", "--cluster", "gres_site"], "--at and --cluster both say where"),
    ],
)
def test_a_wrong_question_is_one_message(words: list[str], told: str, placed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCRATCH", raising=False)
    found = placed.lethe("env", *words)
    assert (found.code, found.out) == (1, "") and told in found.err and "Traceback" not in found.err


def test_a_cluster_says_where_its_environment_is(placed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH", "/scratch/somebody")
    found = placed.lethe("env", "check", "small", "--cluster", "gres_site")
    assert "there is no environment at /scratch/somebody/envs/train" in found.err
