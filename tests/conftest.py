"""How tests are shared out (`-n 2 --dist loadscope`): by modules, and all that need the one Slurm to one process. And that
Hypothesis times none: a busy machine is no failure."""

from __future__ import annotations

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("untimed", settings(), deadline=None)  # on top of Hypothesis's own, which differs in CI
settings.load_profile("untimed")


class Scheduling(LoadScopeScheduling):
    """As xdist's own, but for Slurm. (Its `xdist_group` marks are without effect since pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        return "slurm" if nodeid.startswith("tests/slurm/") else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """What xdist asks for who gets which test."""
    return Scheduling(config, log)
