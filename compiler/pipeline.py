"""The whole way from a spec to the files of its generated folder, as one function."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from compiler.catalog import read_catalog
from compiler.definitions import Cluster
from compiler.emit import emit
from compiler.expand import expand
from compiler.lower import lower
from compiler.plan import Plan
from compiler.study import read_study
from compiler.workshop import Sources


@dataclass(frozen=True)
class Compiled:
    """A plan with the text of every file it becomes, and where the values of each job come from."""

    plan: Plan
    files: Mapping[str, str]
    sources: Mapping[str, Sources]


def compile_study(spec: Path) -> Compiled:
    """Compile `spec`; nothing is written. Raises SpecError."""
    study, tree = read_study(spec)
    catalog = read_catalog([spec.parent / folder for folder in study.catalog], tree)
    plan, workshop = lower(study, tree, catalog, expand(study, tree, spec), Path(os.path.relpath(spec)).as_posix())
    cluster = catalog.get(Cluster, study.cluster, tree.at(("cluster",)))
    return Compiled(plan, emit(plan, cluster, study.tracking), workshop.sources)
