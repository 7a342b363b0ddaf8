"""Job `report`: compare all scores of a study, and write the table, the HTML and the JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.errors import JobError
from runtime.job import Job
from runtime.report import INCOMPLETE
from runtime.report.output import write
from runtime.report.results import Source
from runtime.report.settings import parse
from runtime.report.summary import build
from runtime.report.tables import text


class IncompleteReport(JobError):
    """The report is written, and lacks results; it gets no done-marker, so that the job runs again when they are there."""

    exit_code = INCOMPLETE


def run(job: Job) -> Mapping[str, Any]:
    """Write report.html, report.json and report.txt; the facts are what they cover. Raises IncompleteReport."""
    sources = {item.job: Source(item.job, item.path, item.fingerprint) for item in job.inputs.values()}
    report = build(parse(job.config), sources, job.fingerprint)
    write(report, job.out)
    print(text(report), flush=True)
    if report.problems:
        lacking = f"{len(report.problems)} of {len(report.planned)} results"
        raise IncompleteReport(f"{job.id}: {lacking} have no number, named above; run their jobs, then this one again")
    return {"cells": len(report.settings.cells), "results": len(report.planned)}
