"""A whole simulation: a study's submit_all.sh on a pretended cluster, the jobs worked off, and submit_all.sh once more."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.errors import JobError
from runtime.lifecycle.contract import Contract
from runtime.simulate import scripts, stand_in
from runtime.simulate.cluster import Cluster, submit
from runtime.simulate.failures import REASONS, REQUEUED
from runtime.simulate.outcome import Again, End, Outcome
from runtime.simulate.scripts import Script
from runtime.simulate.slurm import COMPLETED, NEVER, PENDING, Job

SHOWN = 10


@dataclass(frozen=True)
class Study:
    """A compiled study: the jobs of its plan, in order, with their scripts."""

    name: str
    folder: Path
    jobs: Mapping[str, Script]

    def job_of(self, script: str) -> str:
        """The job whose script that is: KIND/NAME, and for one of the study that this one waits for, STUDY/KIND/NAME."""
        study, _, kind, name = Path(script).with_suffix("").parts[-4:]
        return f"{kind}/{name}" if study == self.folder.name else f"{study}/{kind}/{name}"


@dataclass
class _Stage:
    """A cluster, a store, the failures that are still to come, each to a job's first run only, and how jobs ended that ran."""

    study: Study
    cluster: Cluster
    store: Path
    failing: dict[str, str]
    ran: dict[str, End] = field(default_factory=dict)

    def submit(self) -> None:
        """Submit everything. Raises JobError with submit_all.sh's own words when it does not succeed."""
        done = submit(self.cluster, self.study.folder / "submit_all.sh", self.store, {})
        if done.returncode:
            raise JobError(f"submit_all.sh ended with exit code {done.returncode}:\n{done.stderr.strip()}")

    def submit_killed(self, number: int) -> None:
        """Submit until the given sbatch, at which the submitter is killed; what is in the queue may then start."""
        fault = {"FAKE_SLURM_AT": str(number), "FAKE_SLURM_FAULT": "kill-after"}
        done = submit(self.cluster, self.study.folder / "submit_all.sh", self.store, fault)
        if done.returncode != -signal.SIGKILL:
            raise JobError(f"submit_all.sh ended before sbatch number {number}:\n{done.stderr.strip()}")
        self.work_off()

    def work_off(self) -> None:
        """Run jobs until none can start. What can start at a time does, so that none sees what another of them makes."""
        while ready := self.cluster.queue.ready():
            for job, begun in [(job, self._begin(job)) for job in ready]:
                self._finish(job, begun)
        self.cluster.save()

    def _begin(self, job: Job) -> Contract | End:
        """The contract of a job that goes on to its end, or how it ends instead."""
        name = self.study.job_of(job.script)
        if name in self.failing:
            return End("failed", self.failing.pop(name))
        try:
            stand_in.check_log(job.log)
            return stand_in.begin(Path(job.script).with_suffix(".json"), self.store)
        except stand_in.Lacking as error:
            return End("incomplete", str(error))
        except JobError as error:
            return End("broken", str(error))

    def _finish(self, job: Job, begun: Contract | End) -> None:
        name = self.study.job_of(job.script)
        if isinstance(begun, End):
            self._fail(job, name, begun)
        else:
            stand_in.finish(begun)
            self.ran[name] = End("done", "")
            self.cluster.queue.end(job.id, COMPLETED, "")

    def _fail(self, job: Job, name: str, end: End) -> None:
        if end.reason in REQUEUED and self.study.jobs[name].requeues:
            self.cluster.queue.requeue(job.id)
            return
        self.ran[name] = end
        state = end.reason if end.state == "failed" else "FAILED"
        self.cluster.queue.end(job.id, state, REASONS[state])

    def ends(self) -> dict[str, End]:
        """How each job of the plan stands when nothing starts any more."""
        newest = {self.study.job_of(job.script): job for job in self.cluster.queue.newest()}
        return {name: self._stand(name, newest.get(name)) for name in self.study.jobs}

    def _stand(self, name: str, job: Job | None) -> End:
        if job is None:
            return End("broken", "submit_all.sh does not submit it")
        if job.state == PENDING:
            return End("hanging", job.reason)
        return End("cancelled", job.reason) if job.reason == NEVER else self.ran[name]


def simulate(study: Study, failing: Mapping[str, str], kill_at: int | None) -> Outcome:
    """Play the study once with these failures, and what a second submit_all.sh would do about them."""
    with _temporary(None) as slurm, _temporary(_memory()) as store:
        stage = _Stage(study, Cluster.make(Path(slurm) / "slurm"), Path(store) / "store", dict(failing))
        if kill_at is not None:
            stage.submit_killed(kill_at)
        stage.submit()
        stage.work_off()
        ends, first = stage.ends(), len(stage.cluster.queue.jobs)
        stage.failing.clear()
        stage.submit()
        again = [study.job_of(job.script) for job in list(stage.cluster.queue.jobs.values())[first:]]
        stage.work_off()
        left = [name for name, end in stage.ends().items() if end.state != "done"]
        repeated = [study.job_of(script) for script in stage.cluster.queue.repeated]
    return Outcome(study.name, ends, repeated, Again(again, left))


def _temporary(where: str | None) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lethe-simulate-", dir=where)


def _memory() -> str | None:
    """A folder in memory, where there is one and nobody chose another: ledger and markers are synced some thousand times."""
    shared = "/dev/shm"
    return shared if "TMPDIR" not in os.environ and os.access(shared, os.W_OK) else None


def read(plan: Path) -> Study:
    """The study of a plan. Raises JobError when it is no Slurm study, or its scripts would not be taken."""
    found = _plan(plan)
    try:
        name, executor, jobs = found["study"], found["executor"], [job["id"] for job in found["jobs"]]
    except (KeyError, TypeError) as error:
        raise JobError(f"{plan}: not a plan ({error}); compile the study again") from error
    if executor != "slurm":
        raise JobError(f"{name} runs on this machine, without Slurm, so there is nothing to simulate: just run submit_all.sh")
    folder = plan.absolute().parent
    return Study(name, folder, _scripts(folder, jobs))


def _plan(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise JobError(f"{path}: cannot read this plan ({error.strerror}); it is generated/STUDY/plan.json") from error
    except ValueError as error:
        raise JobError(f"{path}: not a plan ({error}); compile the study again") from error
    return found


def _scripts(folder: Path, jobs: Iterable[str]) -> dict[str, Script]:
    """The script of each job. Raises JobError that names what sbatch or bash would not take."""
    found, problems = {}, list[str]()
    for job in jobs:
        try:
            found[job], wrong = scripts.read(folder / "jobs" / f"{job}.sh")
        except OSError as error:
            wrong = [f"{error.filename}: {error.strerror}; compile the study again"]
        problems += wrong
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise JobError("\n".join([*problems[:SHOWN], *more]))
    return found
