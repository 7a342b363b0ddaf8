"""A Slurm for tests: a private one where we may start it (root on Debian), else one that answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ALWAYS = "Nodes=ALL DefMemPerCPU=2000 State=UP"
KNOBS = {  # jobs in main take the nodes of those in scavenge, which are queued again
    "SLURM_LOCAL_PARTITIONS": f"PartitionName=main Default=YES MaxTime=12:00:00 DefaultTime=1:00:00 PriorityTier=2 {ALWAYS}\n"
    f"PartitionName=long MaxTime=48:00:00 DefaultTime=1:00:00 PriorityTier=2 {ALWAYS}\n"
    f"PartitionName=scavenge MaxTime=48:00:00 PriorityTier=1 {ALWAYS}",
    "SLURM_LOCAL_EXTRA": "PreemptType=preempt/partition_prio\nPreemptMode=REQUEUE",
}
PRIVATE = Path(os.environ.get("SLURM_LOCAL_ROOT", "/var/lib/slurm-local"))


@pytest.fixture(scope="session")
def slurm() -> Iterator[Mapping[str, str]]:
    """The environment in which Slurm's commands reach a cluster. Without one: a skip, or a failure where CI must have one."""
    if os.geteuid() == 0 and Path("/etc/debian_version").exists():
        yield from _private()
    elif shutil.which("sinfo") and subprocess.run(["sinfo"], capture_output=True, check=False).returncode == 0:
        yield {}
    else:
        reason = "no Slurm answers here, and a private one can be started as root on Debian only"
        if os.environ.get("CI") == "true" or os.environ.get("LETHE_REQUIRE_SLURM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


def _private() -> Iterator[Mapping[str, str]]:
    """Start tests/slurm/start-slurm.sh's cluster; stop it afterwards unless it ran before, remove what was not there."""
    environment = {"SLURM_CONF": str(PRIVATE / "etc/slurm.conf")}
    there, running = PRIVATE.exists(), _answers(environment)
    started = subprocess.run(
        [HERE / "start-slurm.sh"], env={**KNOBS, **os.environ}, capture_output=True, text=True, check=False
    )
    assert started.returncode == 0, started.stderr
    yield environment
    if not running:
        subprocess.run([HERE / "stop-slurm.sh", *([] if there else ["--purge"])], capture_output=True, check=True)


def _answers(environment: Mapping[str, str]) -> bool:
    if shutil.which("sinfo") is None or not Path(environment["SLURM_CONF"]).exists():
        return False
    return subprocess.run(["sinfo"], env={**os.environ, **environment}, capture_output=True, check=False).returncode == 0
