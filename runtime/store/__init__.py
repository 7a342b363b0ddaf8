"""The store: where it lies, what stands beside the artifact in a folder (done-marker, attempts, kept steps), and the ledger."""

from __future__ import annotations

import os
from pathlib import Path

from runtime.errors import JobError


def folder_of(plan: Path, written: str, named: Path | None) -> Path:
    """The store that submit_all.sh would use: the one `named`, else LETHE_STORE, else the plan's own (`written`).

    A relative one is relative to the repository, whose generated/STUDY/plan.json `plan` is. Raises JobError where the plan's
    own names a variable that this shell does not have.
    """
    chosen = named or os.environ.get("LETHE_STORE")
    if chosen:
        return Path(chosen).absolute()
    root = plan.absolute().parent.parent.parent
    expanded = os.path.expandvars(written.replace("$LETHE_ROOT", str(root)))
    if "$" in expanded:
        raise JobError(f"{plan}: the store is {written}, which this shell does not know; pass --store or set LETHE_STORE")
    return root / expanded
