"""How tests are shared out to several processes: those of a module go together, and so do all that need the one Slurm."""

from __future__ import annotations

from collections.abc import Sequence

import pytest


@pytest.hookimpl(tryfirst=True)  # before xdist reads the mark
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        name = "slurm" if "slurm" in getattr(item, "fixturenames", ()) else item.nodeid.split("::")[0]
        item.add_marker(pytest.mark.xdist_group(name))
