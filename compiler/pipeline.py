"""The whole way from a spec to the files of its generated folder, as one function."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from compiler.catalog import Cluster, read_catalog
from compiler.emit import emit
from compiler.expand import expand
from compiler.lower import lower
from compiler.plan import Plan
from compiler.study import read_study


@dataclass(frozen=True)
class Compiled:
    """A plan with the text of every file it becomes."""

    plan: Plan
    files: Mapping[str, str]


def compile_study(spec: Path) -> Compiled:
    """Compile `spec`; nothing is written. Raises SpecError."""
    study, tree = read_study(spec)
    catalog = read_catalog([spec.parent / folder for folder in study.catalog], tree)
    plan = lower(study, tree, catalog, expand(study, tree), Path(os.path.relpath(spec)).as_posix())
    cluster = catalog.get(Cluster, study.cluster, tree.at(("cluster",)))
    return Compiled(plan, emit(plan, cluster, study.tracking))
