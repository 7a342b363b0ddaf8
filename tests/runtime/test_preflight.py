"""The preflight job: an environment is what its lock says and imports, or every reason why not is told."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import JobError
from runtime.jobs.preflight import differences, installed, normal, run
from tests.runtime.conftest import MakeJob

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
YAML = importlib.metadata.version("pyyaml")


def config(root: Path, *locks: str, **more: Any) -> dict[str, Any]:
    """The config of a preflight of locks with these texts, written below `root`."""
    for number, text in enumerate(locks):
        (root / f"{number}.lock").write_text(text)
    whole = "".join(locks).encode()
    return {
        "environment": "small", "python": PYTHON, "lock": hashlib.sha256(whole).hexdigest(), "imports": ["yaml"],
        "activate": None, "modules": [], "gpu": False,
        "execution": {"files": [f"{number}.lock" for number in range(len(locks))]}, **more,
    }  # fmt: skip


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository's folder, as a job's script sets it."""
    monkeypatch.setenv("LETHE_ROOT", str(tmp_path))
    return tmp_path


def test_an_environment_that_is_as_locked_is_written_down(root: Path, make_job: MakeJob) -> None:
    jinja = importlib.metadata.version("jinja2")
    lock = f"# a comment\nPyYAML=={YAML} \\\n    --hash=sha256:{'0' * 64}\n    # via -r small.in\n"
    job = make_job("preflight/small", config(root, lock, f"jinja2=={jinja}  # in a file of its own\n"), {})
    facts = run(job)
    found = json.loads((job.out / "installed.json").read_text())
    assert found["locked"] == {"pyyaml": YAML, "jinja2": jinja}
    assert facts["packages"] == 2 and found["beside"]["pytest"] == importlib.metadata.version("pytest")


def test_every_difference_is_told_with_what_to_do(root: Path, make_job: MakeJob) -> None:
    job = make_job("preflight/small", config(root, "pyyaml==0.1\nno-such-package==1.0\n", python="3.4"), {})
    with pytest.raises(JobError) as failed:
        run(job)
    told = str(failed.value)
    assert f"pyyaml is {YAML}, and locked at 0.1" in told and "no-such-package 1.0 is not installed" in told
    assert "locked at 3.4" in told and told.endswith("Build it again: lethe env build small")


def test_what_does_not_import_is_told_whatever_it_raises(
    root: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "broken_package.py").write_text("raise OSError('libcuda.so.1: cannot open shared object file\\nmore')\n")
    monkeypatch.syspath_prepend(str(root))
    names = ["yaml", "broken_package", "not_there.at_all"]
    job = make_job("preflight/small", config(root, f"pyyaml=={YAML}\n", imports=names), {})
    with pytest.raises(JobError) as failed:
        run(job)
    lines = [line.strip() for line in str(failed.value).splitlines()[1:-1]]
    assert lines == [
        "broken_package does not import: OSError: libcuda.so.1: cannot open shared object file",
        "not_there.at_all does not import: ModuleNotFoundError: No module named 'not_there'",
    ]
    assert not (job.out / "installed.json").exists()


def test_a_lock_that_changed_since_compiling_is_refused(root: Path, make_job: MakeJob) -> None:
    job = make_job("preflight/small", config(root, f"pyyaml=={YAML}\n"), {})
    (root / "0.lock").write_text(f"pyyaml=={YAML}\njinja2==3.1.6\n")
    with pytest.raises(JobError, match=r"not the lock that this job was compiled for; compile the study again"):
        run(job)


def test_a_lock_that_is_gone_is_one_message(root: Path, make_job: MakeJob) -> None:
    job = make_job("preflight/small", config(root, f"pyyaml=={YAML}\n"), {})
    (root / "0.lock").unlink()
    with pytest.raises(JobError, match=r"0\.lock: cannot read this lock \(No such file or directory\)"):
        run(job)


def test_a_job_with_a_gpu_needs_one_that_pytorch_sees(root: Path, make_job: MakeJob) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(JobError, match="PyTorch sees no GPU on this node"):
        run(make_job("preflight/small", config(root, f"pyyaml=={YAML}\n", gpu=True), {}))


@pytest.mark.parametrize(
    ("here", "told"),
    [
        ("2.13.0", []),
        ("2.13.0+cpu", []),
        ("2.13.1+cpu", ["torch is 2.13.1+cpu, and locked at 2.13.0"]),
        ("2.12.9", ["torch is 2.12.9, and locked at 2.13.0"]),
    ],
)
def test_a_build_of_the_same_version_is_the_same(here: str, told: list[str]) -> None:
    assert differences({"torch": "2.13.0"}, {"torch": here}) == told


def test_a_package_has_one_name_however_it_is_spelt() -> None:
    assert {normal(name) for name in ("Foo.Bar_baz", "foo-bar-baz", "FOO__BAR-.baz")} == {"foo-bar-baz"}
    assert "pyyaml" in installed()
