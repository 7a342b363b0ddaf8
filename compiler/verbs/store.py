"""What the compiler may know of a store: where it is, and which results are finished in it. Only files are read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from compiler.diagnostics import TreeError
from compiler.diff.toll import Made
from compiler.plan.plan import SHORT, Plan
from compiler.plan.results import made_as


def store_of(plan: Plan, named: Path | None) -> Path:
    """The store that the runtime would look in: the one named, else LETHE_STORE, else that of the plan's cluster.

    Raises TreeError where that names a variable which this shell does not have.
    """
    given = named or os.environ.get("LETHE_STORE")
    if given:
        return Path(given).absolute()
    expanded = os.path.expandvars(plan.store.replace("$LETHE_ROOT", str(Path.cwd())))
    if "$" in expanded:
        raise TreeError(f"the store of {plan.study} is {plan.store}, which this shell does not know. Pass --store.")
    return Path.cwd() / expanded


def finished(store: Path, asked: Iterable[Made]) -> frozenset[Made]:
    """Those of the results whose done-marker is there and carries their fingerprint."""
    return frozenset((job, print_) for job, print_ in asked if made_as(store / f"{job}-{print_[:SHORT]}") == print_)
