"""Finds the report in a plan, and says of a result that is not there which jobs it waits for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import JobError
from runtime.report.results import Source
from runtime.store import folder_of, markers

SHORT = 12  # hex digits of a fingerprint in a folder's name


@dataclass(frozen=True)
class PlannedReport:
    """The report job of a plan: its config, where its scores lie, and where it belongs."""

    fingerprint: str
    config: Mapping[str, Any]
    sources: Mapping[str, Source]
    out: Path


@dataclass(frozen=True)
class Plan:
    """The jobs of a plan by id, and the store that they were compiled for."""

    jobs: Mapping[str, Mapping[str, Any]]
    store: Path

    def report(self) -> PlannedReport:
        """The plan's report job. Raises JobError when it has none."""
        found = next((job for job in self.jobs.values() if job["kind"] == "report"), None)
        if found is None:
            raise JobError("this plan has no report job; compile the study again")
        inputs = found["inputs"]
        sources = {item["job"]: Source(item["job"], self.store / item["path"], item["fingerprint"]) for item in inputs}
        return PlannedReport(found["fingerprint"], found["config"], sources, self.folder(found["id"]))

    def folder(self, job: str) -> Path:
        """Where the job's artifact lies."""
        return self.store / f"{job}-{self.jobs[job]['fingerprint'][:SHORT]}"

    def waits_for(self, job: str) -> str | None:
        """`waits for train/a, …`: the first jobs that are not done on the way to this one; None when it could run now."""
        first = self._first_not_done(job)
        return None if job in first else f"waits for {', '.join(first)}"

    def _first_not_done(self, job: str) -> list[str]:
        """The jobs at or above `job` that are not done while all that they need is, each once."""
        first: dict[str, None] = {}
        seen, todo = {job}, [job]
        while todo:
            name = todo.pop()
            open_inputs = [item["job"] for item in self.jobs[name]["inputs"] if not self._done(item["job"])]
            if not open_inputs:
                first[name] = None
            todo += [above for above in open_inputs if above not in seen]
            seen.update(open_inputs)
        return sorted(first)

    def _done(self, job: str) -> bool:
        return markers.is_done(self.folder(job), self.jobs[job]["fingerprint"])


def read(path: Path, store: Path | None) -> Plan:
    """Read a plan.json, with the store it names unless `store` is given. Raises JobError where there is none, or it is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        folder = store.absolute() if store else folder_of(path, found["store"], None)
        return Plan({job["id"]: job for job in found["jobs"]}, folder)
    except OSError as error:
        raise JobError(f"{path}: cannot read this plan ({error.strerror}); compile the study first") from error
    except (ValueError, KeyError, TypeError) as error:
        raise JobError(f"{path}: not a plan ({error!r}); compile the study again") from error
