"""What Slurm makes of a study's calls: an imitation of its controller, in memory, for as many jobs as can be.

It has room for everything at once and no clock. What it keeps of the real one: a job waits for `afterok` and `afterany`
parents and while it is held; an `afterok` parent that ended badly leaves it PENDING for ever (reason
DependencyNeverSatisfied), or cancels it where it was submitted with --kill-on-invalid-dep=yes; whatever waits for a job that
is left so just waits, too (reason Dependency); a requeued job keeps its id, and its children keep waiting; a new dependency
by `scontrol update` rescues a job. Slurm before 23.02 takes a job whose parent it does not know; newer ones refuse it, and
so does this one.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from runtime.errors import JobError

PENDING, COMPLETED, CANCELLED = "PENDING", "COMPLETED", "CANCELLED"
NEVER = "DependencyNeverSatisfied"
SHORT = {
    PENDING: "PD", COMPLETED: "CD", "FAILED": "F", "TIMEOUT": "TO", "OUT_OF_MEMORY": "OOM",
    "NODE_FAIL": "NF", "PREEMPTED": "PR", CANCELLED: "CA",
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One call of a program of Slurm. `id` is the one that sbatch gave; None where it refused, and for other programs."""

    program: str
    id: int | None
    arguments: tuple[str, ...]


@dataclass
class Job:
    """What Slurm knows of a job. `waits` is by parent: afterok, afterany, or failed where an afterok can no longer be."""

    id: int
    name: str
    script: str
    log: str
    comment: str
    kill: bool
    held: bool
    waits: dict[int, str]
    state: str = PENDING
    reason: str = ""


@dataclass
class Queue:
    """All jobs, in the order of their ids. `repeated`: the scripts of those submitted while under way, or done, already."""

    jobs: dict[int, Job] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)
    _children: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    _newest: dict[tuple[str, str], int] = field(default_factory=dict)
    _settled: deque[int] = field(default_factory=deque)

    def take(self, call: Call) -> None:
        """Let a call have its effect. Raises JobError for a dependency that Slurm would refuse."""
        if call.program == "sbatch" and call.id is not None:
            self.add(_submitted(call.id, call.arguments))
        elif call.program == "scontrol" and call.arguments[0] == "release":
            for word in call.arguments[1].split(","):
                self.hold(int(word), False)
        elif call.program == "scontrol" and call.arguments[0] == "update":
            wanted = dict(word.split("=", 1) for word in call.arguments[1:])
            self.rewire(int(wanted["jobid"]), parents(wanted["dependency"]))

    def add(self, job: Job) -> None:
        """Take a new job."""
        before = self.jobs.get(self._newest.get((job.name, job.comment), 0))
        if before and before.state in (PENDING, COMPLETED):
            self.repeated.append(job.script)
        self.jobs[job.id] = job
        self._newest[job.name, job.comment] = job.id
        self.rewire(job.id, job.waits)

    def restore(self, job: Job) -> None:
        """Put back a job as it was in another process. Parents come before those that wait for them."""
        self.jobs[job.id] = job
        self._newest[job.name, job.comment] = job.id
        for parent in job.waits:
            self._children[parent].add(job.id)
        self._look_at(job.id)

    def newest(self) -> Iterator[Job]:
        """The jobs, of several with one name the last."""
        return (self.jobs[number] for number in self._newest.values())

    def hold(self, number: int, held: bool) -> None:
        """Hold a job, or release it."""
        self.jobs[number].held = held
        self._look_at(number)

    def rewire(self, number: int, waits: Mapping[int, str]) -> None:
        """Let a pending job wait for these parents and for no others."""
        job = self.jobs[number]
        job.waits = {}
        for parent, how in waits.items():
            if parent not in self.jobs:
                raise JobError(f"Slurm would refuse {job.name}: it is to wait for job {parent}, which Slurm does not know")
            self._wait(job, parent, how)
        self._look_at(number)
        if job.kill and job.reason == NEVER:
            self.end(number, CANCELLED, NEVER)

    def end(self, number: int, state: str, reason: str) -> None:
        """End a job, and let those that wait for it know."""
        ending = deque([(number, state, reason)])
        while ending:
            number, state, reason = ending.popleft()
            self.jobs[number].state, self.jobs[number].reason = state, reason
            for child in sorted(self._children.pop(number, ())):
                job = self.jobs[child]
                if number in job.waits and job.state == PENDING:
                    self._wait(job, number, job.waits.pop(number))
                    self._look_at(child)
                    if job.kill and job.reason == NEVER:
                        ending.append((child, CANCELLED, NEVER))

    def requeue(self, number: int) -> None:
        """Put a running job back into the queue, under its id; what waits for it goes on waiting."""
        self._look_at(number)

    def ready(self) -> list[Job]:
        """The jobs that may start now. They are not offered again until they are requeued."""
        found = [self.jobs[number] for number in dict.fromkeys(self._settled)]
        self._settled.clear()
        return [job for job in found if job.state == PENDING and not job.held and not job.waits]

    def _wait(self, job: Job, parent: int, how: str) -> None:
        state = self.jobs[parent].state
        if state == PENDING:
            job.waits[parent] = how
            self._children[parent].add(job.id)
        elif how == "afterok" and state != COMPLETED:
            job.waits[parent] = "failed"
            job.reason = NEVER

    def _look_at(self, number: int) -> None:
        job = self.jobs[number]
        if job.state != PENDING:
            return
        if job.reason != NEVER or "failed" not in job.waits.values():
            job.reason = "JobHeldUser" if job.held else "Dependency" if job.waits else "Priority"
        if not job.held and not job.waits:
            self._settled.append(number)


def parents(dependency: str) -> dict[int, str]:
    """What `afterok:1:2,afterany:3` asks for, by parent. A parent named under both must succeed."""
    found: dict[int, str] = {}
    for how, numbers in re.findall(r"(afterok|afterany)((?::\d+)+)", dependency):
        for number in numbers.strip(":").split(":"):
            found[int(number)] = "afterok" if found.get(int(number)) == "afterok" else how
    return found


def _submitted(number: int, arguments: Iterable[str]) -> Job:
    words = list(arguments)
    option = dict(word[2:].split("=", 1) for word in words if re.match("--[a-z-]+=", word))
    return Job(
        id=number,
        name=option["job-name"],
        script=words[-1],
        log=option["output"],
        comment=option["comment"],
        kill=option.get("kill-on-invalid-dep") == "yes",
        held="--hold" in words,
        waits=parents(option.get("dependency", "")),
    )
