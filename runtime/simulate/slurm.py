"""What Slurm makes of a study's calls: an imitation of its controller, in memory, for as many jobs as can be.

It has room for everything at once and no clock. What it keeps of the real one: a job waits for `afterok` and `afterany`
parents and while it is held; an `afterok` parent that ended badly leaves it PENDING for ever (reason
DependencyNeverSatisfied), or cancels it where it was submitted with --kill-on-invalid-dep=yes; whatever waits for a job that
is left so just waits, too (reason Dependency); a requeued job keeps its id, and its children keep waiting; a new dependency
by `scontrol update` rescues a job. The elements of an array are jobs of their own, named 7_0, 7_1 and so on; `afterok:7` and
`afterany:7` mean all of them, `aftercorr:7` the one with the same index. Slurm before 23.02 takes a job whose parent it does
not know; newer ones refuse it, and so does this one.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import JobError

PENDING, COMPLETED, CANCELLED = "PENDING", "COMPLETED", "CANCELLED"
NEVER = "DependencyNeverSatisfied"
CORRESPONDING = "aftercorr"
SHORT = {
    PENDING: "PD", COMPLETED: "CD", "FAILED": "F", "TIMEOUT": "TO", "OUT_OF_MEMORY": "OOM",
    "NODE_FAIL": "NF", "PREEMPTED": "PR", CANCELLED: "CA",
}  # fmt: skip


JobId = int | str
"""7, or 7_0 for an element of array 7."""


@dataclass(frozen=True)
class Call:
    """One call of a program of Slurm. `id` is the one that sbatch gave; None where it refused, and for other programs."""

    program: str
    id: int | None
    arguments: tuple[str, ...]


@dataclass
class Job:
    """What Slurm knows of a job. `waits` is by parent: afterok, afterany, or failed where an afterok can no longer be.

    `script` of an array's element is that of its job.
    """

    id: JobId
    name: str
    script: str
    log: str
    comment: str
    kill: bool
    held: bool
    waits: dict[JobId, str]
    state: str = PENDING
    reason: str = ""


@dataclass
class Queue:
    """All jobs, in the order of their ids. `repeated`: the scripts of those submitted while under way, or done, already."""

    jobs: dict[JobId, Job] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)
    _children: defaultdict[JobId, set[JobId]] = field(default_factory=lambda: defaultdict(set))
    _newest: dict[tuple[str, str], JobId] = field(default_factory=dict)
    _settled: deque[JobId] = field(default_factory=deque)

    def take(self, call: Call) -> None:
        """Let a call have its effect. Raises JobError for a dependency that Slurm would refuse."""
        if call.program == "sbatch" and call.id is not None:
            for job in _submitted(call.id, call.arguments):
                self.add(job)
        elif call.program == "scontrol" and call.arguments[0] == "release":
            for word in call.arguments[1].split(","):
                for number in self.meant(identified(word)):
                    self.hold(number, False)
        elif call.program == "scancel":
            for word in call.arguments:
                for number in self.meant(identified(word)):
                    self.end(number, CANCELLED, "None")
        elif call.program == "scontrol" and call.arguments[0] == "update":
            wanted = dict(word.split("=", 1) for word in call.arguments[1:])
            self.rewire(identified(wanted["jobid"]), parents(wanted["dependency"]))

    def add(self, job: Job) -> None:
        """Take a new job."""
        before = self.jobs.get(self._newest.get(_same(job), 0))
        if before and before.state in (PENDING, COMPLETED):
            self.repeated.append(job.script)
        self.jobs[job.id] = job
        self._newest[_same(job)] = job.id
        self.rewire(job.id, job.waits)

    def restore(self, job: Job) -> None:
        """Put back a job as it was in another process. Parents come before those that wait for them."""
        self.jobs[job.id] = job
        self._newest[_same(job)] = job.id
        for parent in job.waits:
            self._children[parent].add(job.id)
        self._look_at(job.id)

    def newest(self) -> Iterator[Job]:
        """The jobs, of several with one name the last."""
        return (self.jobs[number] for number in self._newest.values())

    def meant(self, number: JobId) -> list[JobId]:
        """The jobs of that id: itself, or the elements of an array."""
        return [number] if number in self.jobs else [job for job in self.jobs if str(job).startswith(f"{number}_")]

    def hold(self, number: JobId, held: bool) -> None:
        """Hold a job, or release it."""
        self.jobs[number].held = held
        self._look_at(number)

    def rewire(self, number: JobId, waits: Mapping[JobId, str]) -> None:
        """Let a pending job wait for these parents and for no others."""
        job = self.jobs[number]
        job.waits = {}
        for asked, how in waits.items():
            found = self.meant(f"{asked}_{_index(number)}" if how == CORRESPONDING else asked)
            if not found:
                raise JobError(f"Slurm would refuse {job.name}: it is to wait for job {asked}, which Slurm does not know")
            for parent in found:
                self._wait(job, parent, "afterok" if how == CORRESPONDING else how)
        self._look_at(number)
        if job.kill and job.reason == NEVER:
            self.end(number, CANCELLED, NEVER)

    def end(self, number: JobId, state: str, reason: str) -> None:
        """End a job, and let those that wait for it know."""
        ending = deque([(number, state, reason)])
        while ending:
            number, state, reason = ending.popleft()
            self.jobs[number].state, self.jobs[number].reason = state, reason
            for child in sorted(self._children.pop(number, ()), key=str):
                job = self.jobs[child]
                if number in job.waits and job.state == PENDING:
                    self._wait(job, number, job.waits.pop(number))
                    self._look_at(child)
                    if job.kill and job.reason == NEVER:
                        ending.append((child, CANCELLED, NEVER))

    def requeue(self, number: JobId) -> None:
        """Put a running job back into the queue, under its id; what waits for it goes on waiting."""
        self._look_at(number)

    def ready(self) -> list[Job]:
        """The jobs that may start now. They are not offered again until they are requeued."""
        found = [self.jobs[number] for number in dict.fromkeys(self._settled)]
        self._settled.clear()
        return [job for job in found if job.state == PENDING and not job.held and not job.waits]

    def _wait(self, job: Job, parent: JobId, how: str) -> None:
        state = self.jobs[parent].state
        if state == PENDING:
            job.waits[parent] = how
            self._children[parent].add(job.id)
        elif how == "afterok" and state != COMPLETED:
            job.waits[parent] = "failed"
            job.reason = NEVER

    def _look_at(self, number: JobId) -> None:
        job = self.jobs[number]
        if job.state != PENDING:
            return
        if job.reason != NEVER or "failed" not in job.waits.values():
            job.reason = "JobHeldUser" if job.held else "Dependency" if job.waits else "Priority"
        if not job.held and not job.waits:
            self._settled.append(number)


def identified(text: str) -> JobId:
    """An id as Slurm's programs write it."""
    return int(text) if text.isdigit() else text


def parents(dependency: str) -> dict[JobId, str]:
    """What `afterok:1:2_4,afterany:3` asks for, by parent. A parent named under both must succeed."""
    found: dict[JobId, str] = {}
    for how, numbers in re.findall(r"(afterok|afterany|aftercorr)((?::\d+(?:_\d+)?)+)", dependency):
        for number in map(identified, numbers.strip(":").split(":")):
            found[number] = "afterok" if found.get(number) == "afterok" else how
    return found


def _same(job: Job) -> tuple[str, str]:
    """What two submissions of one job have in common: name and store, and for an element of an array its index."""
    return f"{job.name}_{_index(job.id)}", job.comment


def _index(number: JobId) -> str:
    return str(number).partition("_")[2]


def _submitted(number: int, arguments: Iterable[str]) -> Iterator[Job]:
    words = list(arguments)
    option = dict(word[2:].split("=", 1) for word in words if re.match("--[a-z-]+=", word))
    script = next(word for word in words if not word.startswith("--"))
    elements = _elements(option["array"], Path(script)) if "array" in option else {number: script}
    for name, path in elements.items():
        yield Job(
            id=f"{number}_{name}" if "array" in option else number,
            name=option["job-name"],
            script=path,
            log=option["output"],
            comment=option["comment"],
            kill=option.get("kill-on-invalid-dep") == "yes",
            held="--hold" in words,
            waits=parents(option.get("dependency", "")),
        )


def _elements(asked: str, script: Path) -> dict[int, str]:
    """The script of the job that each element of `--array=0-2,5%4` runs, as the array's script tells."""
    told = dict(re.findall(r"^ +(\d+)\) job=(\S+) ;;$", script.read_text(encoding="utf-8"), re.MULTILINE))
    found = dict[int, str]()
    for part in asked.partition("%")[0].split(","):
        first, _, last = part.partition("-")
        for index in range(int(first), int(last or first) + 1):
            found[index] = str(script.parents[1] / "jobs" / f"{told[str(index)]}.sh")
    return found
