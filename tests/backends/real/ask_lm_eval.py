"""What lm-eval itself says of a config: the class that its command line makes of the file, and its index of tasks."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from lm_eval.config.evaluate_config import EvaluatorConfig


def answer(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, str] | None:
    """Which of lm-eval's checks refuses the config with these changes, and how; None when none does."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(yaml.safe_dump({**config, **changes}), encoding="utf-8")
        try:
            seen = EvaluatorConfig.from_config(file)
        except (TypeError, ValueError) as error:
            return {"by": "EvaluatorConfig", "says": f"{type(error).__name__}: {error}"}
    named = seen.tasks if isinstance(seen.tasks, list) else str(seen.tasks).split(",")
    missing = [name for name in named if name not in tasks()]
    return {"by": "TaskManager", "says": f"Tasks not found: {', '.join(missing)}"} if missing else None


@cache
def tasks() -> frozenset[str]:
    """The names of lm-eval's tasks, groups and tags, by its own index; that takes it 15 seconds."""
    from lm_eval.tasks import TaskManager

    return frozenset(TaskManager().all_tasks)
