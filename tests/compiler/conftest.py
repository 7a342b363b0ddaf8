"""The toy project, fresh for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compiler.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that nothing was compiled in yet."""
    return Project.make(tmp_path / "project")


@pytest.fixture
def compiled(project: Project) -> Project:
    """A project whose toy study is compiled."""
    project.compile()
    return project
