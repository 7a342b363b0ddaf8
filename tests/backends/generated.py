"""Every config that the committed specs generate, each once: `generated()` by (backend, part)."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from compiler.configs import parse_config
from compiler.pipeline import compile_study

REPOSITORY = Path(__file__).parents[2]
# What phase 3 goes on with is chosen by results that nobody has yet; any three pairs of its cells do for its configs.
PHASE3 = """\
study: phase1
report: "{report}"
from: {{study: phase1.yaml, select: "top 3 by forgetting", axes: [method, domain]}}
cells:
  - {{method: gt_sft, domain: qa, value: 3.0}}
  - {{method: on_rl, domain: math, value: 2.0}}
  - {{method: off_rl, domain: code, value: 1.0}}
"""


@dataclass(frozen=True)
class Config:
    """One generated config, with the study and the job that it is the first of its kind for."""

    study: str
    job: str
    config: Any
    text: str

    @property
    def whose(self) -> str:
        return f"{self.study}: {self.job}"


def specs() -> list[str]:
    """The names of the committed specs."""
    return sorted(path.stem for path in (REPOSITORY / "specs").glob("*.yaml") if not path.stem.endswith(".selection"))


@cache
def generated() -> Mapping[tuple[str, str], tuple[Config, ...]]:
    """The configs of all committed specs by backend and part, those that say the same only once."""
    found: dict[tuple[str, str], dict[str, Config]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        shutil.copytree(REPOSITORY / "specs", "specs")
        Path("requirements").symlink_to(REPOSITORY / "requirements")  # the catalog's environments name their locks
        Path("specs/phase3.selection.yaml").write_text(PHASE3.format(report="0" * 64), encoding="utf-8")
        for name in specs():
            compiled = compile_study(Path(f"specs/{name}.yaml"))
            for job in compiled.plan.jobs:
                text = compiled.files[f"configs/{job.id}.yaml"]
                config = parse_config(text)
                same = found.setdefault((job.backend, job.what), {})
                same.setdefault(json.dumps(config, sort_keys=True), Config(name, job.id, config, text))
    return {part: tuple(configs.values()) for part, configs in found.items()}
