"""A pretended cluster in a folder: programs of Slurm for PATH, the log of their calls, and what Slurm made of them.

bin/           the programs of `fake/`; every other program of Slurm refuses, so that a real one is never reached
calls          one call after another, each as program, id, number of arguments, arguments, with a zero byte after each
count          how often sbatch was called, the last id that it gave, and how many jobs that makes, elements of arrays counted
steps          how many steps of the submitter were counted; silent: there while squeue does not answer
queue.json     what Slurm made of the first so many bytes of `calls`
python         the interpreter, and `package`, the folder of this runtime, with which squeue works that out
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from runtime.simulate.slurm import Call, Job, Queue, identified

FAKE = Path(__file__).with_name("fake")
PACKAGE = Path(__file__).parents[2]
OTHERS = ("sacct", "salloc", "sacctmgr", "sattach", "sbcast", "sdiag", "sinfo", "sprio", "sreport", "srun", "sstat")
WITH_ITS_PROCESS = 'FAKE_SLURM_SUBMITTER=$$ exec bash "$@"'  # so that a fault hits the submitter, whatever shells it opens


@dataclass
class Cluster:
    """`queue` is what Slurm made of the first `read` bytes of the calls."""

    folder: Path
    queue: Queue = field(default_factory=Queue)
    read: int = 0

    @classmethod
    def make(cls, folder: Path) -> Cluster:
        """A cluster without jobs, in a new folder."""
        programs = folder / "bin"
        shutil.copytree(FAKE, programs)
        for name in OTHERS:
            (programs / name).symlink_to("refuse")
        (folder / "count").write_text("0 0 0\n")
        (folder / "calls").touch()
        (folder / "python").symlink_to(sys.executable)
        (folder / "package").symlink_to(PACKAGE)
        cluster = cls(folder)
        cluster.save()
        return cluster

    @classmethod
    def open(cls, folder: Path) -> Cluster:
        """The cluster of that folder, as of its last call."""
        kept = json.loads((folder / "queue.json").read_text(encoding="utf-8"))
        cluster = cls(folder, read=kept["read"])
        for fields in kept["jobs"]:
            waits = {identified(parent): how for parent, how in fields.pop("waits").items()}
            cluster.queue.restore(Job(**fields, waits=waits))
        cluster.catch_up()
        return cluster

    def catch_up(self) -> None:
        """Let the calls that came since the last time have their effect."""
        with (self.folder / "calls").open("rb") as file:
            file.seek(self.read)
            new = file.read()
        self.read += len(new)
        for call in _calls(new):
            self.queue.take(call)

    def save(self) -> None:
        """Keep what is known for squeue, which is a process of its own."""
        kept = {"read": self.read, "jobs": [asdict(job) for job in self.queue.jobs.values()]}
        (self.folder / "queue.json").write_text(json.dumps(kept), encoding="utf-8")

    def calls(self) -> list[Call]:
        """Every call so far."""
        return list(_calls((self.folder / "calls").read_bytes()))

    def environment(self, path: str) -> dict[str, str]:
        """The variables with which programs find this Slurm before any other."""
        return {"PATH": f"{self.folder / 'bin'}{os.pathsep}{path}", "FAKE_SLURM": str(self.folder)}


def submit(cluster: Cluster, script: Path, store: Path, fault: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a study's submit_all.sh on the cluster, with a fault that `fake/sbatch` describes, or none."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LETHE_", "FAKE_SLURM"))}
    ours = cluster.environment(kept.get("PATH", os.defpath))
    done = subprocess.run(
        ["bash", "-c", WITH_ITS_PROCESS, "bash", str(script), "--yes"],
        env={**kept, **ours, **fault, "LETHE_STORE": str(store), "LETHE_RETRY_SECONDS": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    cluster.catch_up()
    cluster.save()
    return done


def _calls(content: bytes) -> Iterator[Call]:
    words = iter(content.decode().split("\0")[:-1])
    for program in words:
        number, count = next(words), int(next(words))
        yield Call(program, int(number) if number else None, tuple(next(words) for _ in range(count)))
