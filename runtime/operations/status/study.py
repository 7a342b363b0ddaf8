"""A compiled study as its files tell of it: the plan, where its artifacts and logs lie, and what the ledger says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from runtime.errors import JobError
from runtime.store import folder_of, ledger, markers, steps

PlannedJob = Mapping[str, Any]
SHORT = 12  # hex digits of a fingerprint in a folder's name
_ARTIFACT = re.compile(rf"(.+)-([0-9a-f]{{{SHORT}}})")


@dataclass(frozen=True)
class Gate:
    """The study whose report must be done before this one starts, its canary, and whether it is."""

    study: str
    done: bool


@dataclass(frozen=True)
class Study:
    """The plan of a study with its store; `generated` is the folder of plan.json.

    `entries` are the ledger's lines, oldest first; `spec` is what it was compiled from; `gate` is what it waits for as a whole.
    """

    name: str
    slurm: bool
    generated: Path
    store: Path
    jobs: Sequence[PlannedJob]
    cells: Sequence[Mapping[str, Any]]
    axes: Mapping[str, Sequence[str]]
    entries: Sequence[ledger.Entry]
    spec: str
    gate: Gate | None = None

    @cached_property
    def by_id(self) -> dict[str, PlannedJob]:
        """The plan's jobs by their ids."""
        return {job["id"]: job for job in self.jobs}

    @cached_property
    def last_entries(self) -> dict[tuple[str, str], ledger.Entry]:
        """The ledger's last entry that has an id, by job and fingerprint."""
        return ledger.latest(self.entries)

    @cached_property
    def _submitted(self) -> dict[str, ledger.Entry]:
        """What the ledger says was submitted, by Slurm's ids."""
        return {entry.id: entry for entry in self.entries if entry.event == "submitted"}

    @property
    def ledger_file(self) -> Path:
        """Where the ledger lies."""
        return ledger.path_of(self.store, self.name)

    @property
    def root(self) -> Path:
        """The folder that holds `generated/` and `runtime/`."""
        return self.generated.parent.parent

    def entry(self, job: PlannedJob) -> ledger.Entry | None:
        """The ledger's last word on a job at its fingerprint."""
        return self.last_entries.get((job["id"], job["fingerprint"]))

    def chain(self, number: str) -> list[str]:
        """The ids of the links that were submitted with the one of this id, that one included."""
        found = self._submitted
        own = {found[number].job: number} if number in found else {"": number}
        for other, entry in reversed(found.items()):
            if number in found and ledger.job_of(entry) == ledger.job_of(found[number]):
                own.setdefault(entry.job, other)
        return list(own.values())

    def out(self, job: PlannedJob) -> Path:
        """The folder of a job's artifact."""
        return self.store / f"{job['id']}-{job['fingerprint'][:SHORT]}"

    def script(self, job: PlannedJob) -> Path:
        """The script that runs a job."""
        return self.generated / "jobs" / f"{job['id']}.sh"

    def slurm_name(self, job: PlannedJob) -> str:
        """The name under which Slurm has a job."""
        return f"{self.name}.{job['id'].replace('/', '.', 1)}.{job['fingerprint'][:8]}"

    def log(self, job: PlannedJob, number: str = "") -> Path:
        """Where the output of a job goes: of the attempt with Slurm's id `number`, or on this machine of all attempts."""
        tail = f"-{number}" if number else ""
        return self.store / "logs" / self.name / f"{job['id'].replace('/', '.', 1)}{tail}.out"

    def logs(self, job: PlannedJob) -> list[Path]:
        """The logs of a job that are there, the one written last first."""
        stem = job["id"].replace("/", ".", 1)
        folder = self.store / "logs" / self.name
        found = [path for path in folder.glob(f"{stem}*.out") if re.fullmatch(r"(-[0-9_]+)?", path.stem[len(stem) :])]
        return sorted((path for path in found if path.exists()), key=lambda path: path.stat().st_mtime_ns, reverse=True)

    def is_done(self, job: PlannedJob) -> bool:
        """Whether its done-marker carries the plan's fingerprint, and the checkpoints that others need are there."""
        out = self.out(job)
        kept = job.get("execution", {}).get("keep") or ()
        return markers.is_done(out, job["fingerprint"]) and not steps.missing_in(out, kept)

    def needs(self, job: PlannedJob) -> list[PlannedJob]:
        """The jobs without which a job cannot run."""
        names = [edge["job"] for edge in job["inputs"] if edge["required"]]
        return [self.by_id[name] for name in dict.fromkeys([*names, *job.get("after", ())]) if name in self.by_id]


def read_study(path: Path, store: Path | None) -> Study:
    """Read the study of a plan. Raises JobError for a file that is no plan, and where the store cannot be told."""
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        name, executor, jobs, written = plan["study"], plan["executor"], plan["jobs"], plan["store"]
    except OSError as error:
        raise JobError(f"{path}: cannot read this plan ({error.strerror}); it is generated/STUDY/plan.json") from error
    except (ValueError, KeyError, TypeError) as error:
        raise JobError(f"{path}: not a plan ({error}); compile the study again") from error
    folder = folder_of(path, written, store)
    entries = ledger.read(ledger.path_of(folder, name))
    cells, axes = plan.get("cells", []), plan.get("axes", {})
    spec = plan.get("spec", f"specs/{name}.yaml")
    generated = path.absolute().parent
    gate = _gate(generated.parent, plan.get("gate"), folder)
    return Study(name, executor == "slurm", generated, folder, jobs, cells, axes, entries, spec, gate)


def _gate(generated: Path, name: str | None, store: Path) -> Gate | None:
    """How the study is doing that this one waits for, whose plan lies beside this one's."""
    if name is None:
        return None
    try:
        found = json.loads((generated / name / "plan.json").read_text(encoding="utf-8"))
        ((report, fingerprint),) = [(job["id"], job["fingerprint"]) for job in found["jobs"] if job["kind"] == "report"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JobError(f"this study waits for {name}, whose plan cannot be read ({error}); compile the study again") from error
    return Gate(name, markers.is_done(store / f"{report}-{fingerprint[:SHORT]}", fingerprint))


def other_results(study: Study, jobs: Iterable[PlannedJob]) -> dict[str, list[str]]:
    """The short fingerprints of finished results of these jobs that are not the plan's; each kind's folder is listed once."""
    wanted = {job["id"]: job["fingerprint"] for job in jobs}
    found: dict[str, list[str]] = {}
    for kind in sorted({name.partition("/")[0] for name in wanted}):
        folder = study.store / kind
        for artifact in sorted(folder.iterdir()) if folder.is_dir() else ():
            match = _ARTIFACT.fullmatch(artifact.name)
            name = f"{kind}/{match[1]}" if match else ""
            marker = markers.read(artifact) if name in wanted else None
            if marker and marker.fingerprint != wanted[name]:
                found.setdefault(name, []).append(marker.fingerprint[:SHORT])
    return found


def read_names(path: Path | None) -> frozenset[str] | None:
    """The ids in a file, one a line; None where there is no file, which stands for all."""
    return None if path is None else frozenset(path.read_text(encoding="utf-8").split())
