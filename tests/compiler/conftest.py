"""The toy project, fresh for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compiler.placed import LOCK, SMALL
from tests.compiler.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that nothing was compiled in yet."""
    return Project.make(tmp_path / "project")


@pytest.fixture
def placed(project: Project) -> Project:
    """The toy study on a Slurm cluster, whose environment the catalog knows."""
    (project.root / "locks").mkdir()
    (project.root / "locks/small.lock").write_text(LOCK)
    (project.root / "specs/catalog/environments.yaml").write_text(SMALL)
    project.edit("toy.yaml", "cluster: here", "cluster: gres_site")
    project.edit(
        "catalog/places.yaml", '        activate: "$SCRATCH', '        environment: small\n        activate: "$SCRATCH'
    )
    return project


@pytest.fixture
def compiled(project: Project) -> Project:
    """A project whose toy study is compiled."""
    project.compile()
    return project


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A compiled project that the tests of a module read together."""
    found = Project.make(tmp_path_factory.mktemp("shared") / "project")
    found.compile()
    return found


@pytest.fixture
def scratch(shared: Project) -> Iterator[Project]:
    """The shared compiled project, for tests that damage its specs and must find `generated/` as it was."""
    specs, before = shared.root / "specs", shared.root / "specs.before"
    shutil.copytree(specs, before)
    yield shared
    shutil.rmtree(specs)
    before.rename(specs)
    for path in shared.root.glob("*.yaml"):
        path.rmdir() if path.is_dir() else path.unlink()
