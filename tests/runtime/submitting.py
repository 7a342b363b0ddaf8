"""A small tree and a pretended Slurm, for the tests of submit.sh."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.simulate import cluster as simulated
from runtime.simulate.slurm import Job
from tests.tree import Tree


@dataclass
class Cluster:
    """A tree of jobs, and a pretended Slurm."""

    tree: Tree
    folder: Path
    tools: Path

    @classmethod
    def of(cls, tree: Tree, folder: Path) -> Cluster:
        """A closed tree on a Slurm that has no jobs yet, which lies with the tools in `folder`."""
        return cls(tree, simulated.Cluster.make(folder / "slurm").folder, make_tools(folder))

    @property
    def environment(self) -> dict[str, str]:
        at_start = {"BASH_ENV": str(self.tools.parent / "at_start")}
        return {**self.slurm.environment(str(self.tools)), **at_start, "LETHE_STORE": str(self.tree.store)}

    @property
    def slurm(self) -> simulated.Cluster:
        """It as of now; what a test changes in it holds once it is saved."""
        return simulated.Cluster.open(self.folder)

    def submit(self, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.tree.submit(*options, environment={**self.environment, **more})

    def calls(self, *beginning: str) -> list[list[str]]:
        calls = [[call.program, *call.arguments] for call in self.slurm.calls()]
        return [call for call in calls if tuple(call[: len(beginning)]) == beginning]

    def queued(self) -> list[Job]:
        return list(self.slurm.queue.jobs.values())

    def jobs(self) -> dict[str, Job]:
        """What Slurm has, by job; the newest where there are several."""
        return {name_of(job): job for job in self.queued()}

    def sent(self, job: str) -> dict[str, str]:
        """The options that sbatch was given for a job."""
        (call,) = [call for call in self.calls("sbatch") if call[-1].endswith(f"/{job}.sh")]
        return options_of(call)

    def all_sent(self) -> list[dict[str, str]]:
        """The options of each sbatch, in order."""
        return [options_of(call) for call in self.calls("sbatch")]

    def fail(self, job: str) -> None:
        """Let a job fail; what waits for it learns of it as it would from Slurm."""
        self.end(job, "FAILED")

    def end(self, job: str | int, state: str) -> None:
        """Let a job, or what has that id in Slurm, end so."""
        number = self.jobs()[job].id if isinstance(job, str) else job
        slurm = self.slurm
        slurm.queue.end(number, state, "None" if state == "COMPLETED" else "NonZeroExitCode")
        slurm.save()

    def work_off(self, *failing: str) -> None:
        """Let everything run that can, until nothing can; jobs named here fail."""
        while ready := (slurm := self.slurm).queue.ready():
            for job in ready:
                name = name_of(job)
                if name not in failing and name in self.tree.jobs:
                    self.finish(name)
                slurm.queue.end(job.id, "FAILED" if name in failing else "COMPLETED", "None")
            slurm.save()

    def finish(self, job: str) -> None:
        """Put a job's done-marker into the store."""
        self.tree.out(job).mkdir(parents=True)
        (self.tree.out(job) / "DONE.json").write_text("{}")


def name_of(job: Job) -> str:
    """The job that Slurm's job is for, by its script."""
    return "/".join(Path(job.script).with_suffix("").parts[-2:])


def options_of(call: Sequence[str]) -> dict[str, str]:
    """The options of a call, without their dashes."""
    return dict(word.removeprefix("--").partition("=")[::2] for word in call[1:] if word.startswith("--"))


def make_tools(folder: Path) -> Path:
    """A folder for PATH with bash and those of coreutils that submit.sh uses, and nothing else.

    Beside it lies what bash is to read first, so that the pretended programs know whom to kill.
    """
    (folder / "at_start").write_text("export FAKE_SLURM_SUBMITTER=${FAKE_SLURM_SUBMITTER:-$$}\n")
    tools = folder / "tools"
    tools.mkdir()
    for name in ("bash", "cat", "dirname", "id", "ln", "mkdir", "rm", "sha256sum", "sleep", "sync", "tail"):
        (tools / name).symlink_to(shutil.which(name) or name)
    return tools
