"""The few rows in the layouts of published data sets (`data/`), for tests that read them as jobs do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

DATA = Path(__file__).parent / "data"
TEMPLATES = Path(__file__).parents[2] / "templates" / "backends" / "native"


def put_published(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `data/` as the folder that holds data sets on this machine; `datasets` keeps its cache beside it."""
    import datasets

    shutil.copytree(DATA, folder / "published")
    monkeypatch.setenv("LETHE_DATASETS", str(folder / "published"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
    return folder / "published"


def refused(part: str, config: Mapping[str, Any]) -> list[str]:
    """What the schema of a part of the native backend has against a job's config."""
    schema = json.loads((TEMPLATES / f"{part}.schema.json").read_text())
    checker = jsonschema.Draft202012Validator(schema)
    return [error.message for error in checker.iter_errors({"settings": dict(config), "execution": {}})]


def sets_of(folder: Path) -> list[str]:
    """The files of rows below `folder`, by their names."""
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*.jsonl"))
