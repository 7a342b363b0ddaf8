"""Equal artifacts of other names: a study need not make what another one made already.

A folder in the store is named KIND/NAME-FINGERPRINT12. Jobs of one name and fingerprint share it as it is. Where the same
fingerprint was done under another name (another study's cells are named differently), this job's folder becomes a link to it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from runtime.store import markers, steps

SHORT = 12  # hex digits of a fingerprint in a folder's name


def adopt(out: Path, fingerprint: str, needed: Sequence[int]) -> Path | None:
    """Make `out` a link to a finished twin of another name that kept the checkpoints of all `needed` steps.

    Returns the twin, or None where there is none or the job has a folder of its own already. A link whose twin was removed is
    removed, too.
    """
    if out.is_symlink() and not out.exists():
        out.unlink(missing_ok=True)
    if out.exists():
        return None
    for twin in sorted(out.parent.glob(f"*-{fingerprint[:SHORT]}")):
        whole = markers.is_done(twin, fingerprint) and not steps.missing_in(twin, needed)
        if whole and not twin.is_symlink():
            with contextlib.suppress(FileExistsError):  # another process was first
                out.symlink_to(twin.name, target_is_directory=True)
            return twin
    return None
