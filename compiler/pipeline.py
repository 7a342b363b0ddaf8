"""The whole way from a spec to the files of its generated folder, as one function."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from compiler.cells.expand import expand
from compiler.diagnostics import SpecError
from compiler.language.definitions import Cluster
from compiler.language.reading import Spec, read_spec
from compiler.lower import lower
from compiler.lower.workshop import Sources
from compiler.output.emit import emit
from compiler.plan.plan import Plan


@dataclass(frozen=True)
class Compiled:
    """A plan with the text of every file it becomes, and where the values of each job come from."""

    plan: Plan
    files: Mapping[str, str]
    sources: Mapping[str, Sources]


def compile_study(spec: Path) -> Compiled:
    """Compile `spec`; nothing is written. Raises SpecError with every mistake that can be told without mending another."""
    read = read_spec(spec)
    try:
        compiled = _compiled(spec, read)
    except SpecError as error:
        raise SpecError([*read.misspelt, *error.diagnostics]) from error
    if read.misspelt:
        raise SpecError(read.misspelt)
    return compiled


def _compiled(spec: Path, read: Spec) -> Compiled:
    study, tree = read.study, read.tree
    expansion = expand(study, tree, spec)
    plan, workshop = lower(study, tree, read.catalog, expansion, Path(os.path.relpath(spec)).as_posix())
    cluster = read.catalog.get(Cluster, study.cluster, tree.at(("cluster",)))
    return Compiled(plan, emit(plan, cluster, study.tracking), workshop.sources)
