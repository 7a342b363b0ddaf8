"""The whole way from a spec to the files of its generated folder, as one function."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from compiler.backends import foreign_files
from compiler.cells.cell import Expansion
from compiler.cells.expand import expand
from compiler.diagnostics import SpecError
from compiler.fitness.fit import Unfit
from compiler.language.places import Cluster
from compiler.language.reading import Spec, read_spec
from compiler.language.study import Tracking
from compiler.lock.file import Locked, read_lock
from compiler.lower import lower
from compiler.lower.amend import Amendment
from compiler.lower.sources import Sources
from compiler.output.emit import Files
from compiler.plan.plan import Plan


@dataclass(frozen=True)
class Compiled:
    """A plan with the text of every file it becomes, where the values of each job come from, and the lock it was made with.

    `read` are files that were read beside the spec, its catalog and Lethe's own.
    """

    plan: Plan
    files: Files
    sources: Mapping[str, Sources]
    cluster: Cluster
    tracking: Tracking
    read: tuple[Path, ...]
    locked: Locked | None = None


def compile_study(spec: Path, *, locked: bool = True) -> Compiled:
    """Compile `spec` with the lock beside it, or as if there were none; nothing is written.

    Raises SpecError with every mistake that can be told without mending another.
    """
    read = read_spec(spec)
    try:
        lock = read_lock(spec) if locked else None
        compiled = compiled_with(spec, read, expand(read.study, read.tree, spec), lock)
    except Unfit as error:  # with a misspelt name, of what may not be meant
        raise SpecError(read.misspelt or error.diagnostics) from error
    except SpecError as error:
        raise SpecError([*read.misspelt, *error.diagnostics]) from error
    if read.misspelt:
        raise SpecError(read.misspelt)
    return compiled


def compiled_with(
    spec: Path, read: Spec, expansion: Expansion, lock: Locked | None, amendments: tuple[Amendment, ...] = ()
) -> Compiled:
    """Compile these cells of a spec, with `amendments` on top of the lock on top of all settings. Raises SpecError."""
    study, tree = read.study, read.tree
    layers = (*((lock.amendment(),) if lock else ()), *amendments)
    plan, workshop = lower(study, tree, read.catalog, expansion, Path(os.path.relpath(spec)).as_posix(), layers)
    cluster = read.catalog.get(Cluster, study.cluster, tree.at(("cluster",)))
    files = Files(plan, cluster, study.tracking, workshop.sources)
    others = [file for name in {job.backend for job in plan.jobs} for file in foreign_files(name)]
    read_too = tuple(sorted({*workshop.read, *others}))
    return Compiled(plan, files, workshop.sources, cluster, study.tracking, read_too, lock)
