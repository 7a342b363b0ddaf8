"""The verbs of `python -m runtime` about a study that was submitted: how it is doing, and what to do about it.

Those that take a choice of jobs read their ids from a file, one a line: which jobs somebody means is for `lethe` to say.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

VERBS = {
    "status": "show a study's cells and jobs by state; list what failed, with its log",
    "triage": "group what failed by its cause, with what helps",
    "retry": "submit again what failed",
    "cancel": "withdraw what is queued or runs",
    "logs": "show the log of a job",
    "replay": "print the command that runs a job by hand",
    "storage": "what a study's artifacts take and will take, and what the site will delete; keep or archive them",
}


def add(verbs: Any) -> None:
    """Add these verbs to argparse's subparsers."""
    made = {name: verbs.add_parser(name, help=text, description=text, allow_abbrev=False) for name, text in VERBS.items()}
    for name, verb in made.items():
        verb.add_argument("plan", type=Path, metavar="PLAN", help="generated/STUDY/plan.json")
        verb.add_argument("--json", action="store_true", help="print one JSON document")
        verb.add_argument("--store", type=Path, help="the folder of artifacts, if not $LETHE_STORE or the plan's own")
        if name not in ("logs", "replay"):
            verb.add_argument("--jobs", type=Path, metavar="FILE", help="only jobs whose ids are in this file, one a line")
    made["status"].add_argument("--watch", type=float, metavar="SECONDS", help="show it again and again")
    for name in ("retry", "cancel"):
        made[name].add_argument("--yes", action="store_true", help="do not ask")
    made["retry"].add_argument("--dry-run", action="store_true", help="print what would be submitted; change nothing")
    for name in ("logs", "replay"):
        made[name].add_argument("name", metavar="JOB|CELL", help="a job, or the job that tells most of a cell")
    made["logs"].add_argument("--follow", action="store_true", help="go on as the log grows")
    made["logs"].add_argument("--lines", type=int, metavar="N", help="only the last N lines")
    _storage(made["storage"])


def _storage(verb: ArgumentParser) -> None:
    verb.add_argument("--quota", type=float, metavar="BYTES", help="how much may be stored there")
    verb.add_argument("--purge-days", type=float, metavar="DAYS", help="unused for so long, a file is deleted by the site")
    verb.add_argument("--keep", action="store_true", help="touch what must stay")
    verb.add_argument("--most", type=int, metavar="FILES", help="touch at most so many files")
    verb.add_argument("--archive", type=Path, metavar="DIR", help="copy what is done to DIR, and verify the copies")
    verb.add_argument("--remove", action="store_true", help="after that, remove the originals")


def run(arguments: Namespace) -> int:
    """Do what one of these verbs asks; return the exit code."""
    plan, store, as_json = arguments.plan, arguments.store, arguments.json
    match arguments.verb:
        case "status":
            from runtime.operations.status import show

            return show(plan, store, as_json, arguments.jobs, arguments.watch)
        case "triage":
            from runtime.operations import triage

            return triage.show(plan, store, as_json, arguments.jobs)
        case "retry":
            from runtime.operations import resubmit

            return resubmit.retry(plan, store, arguments.jobs, arguments.yes, arguments.dry_run, as_json)
        case "cancel":
            from runtime.operations import withdraw

            return withdraw.cancel(plan, store, arguments.jobs, arguments.yes, as_json)
        case "logs":
            from runtime.operations import logs

            return logs.show(plan, store, arguments.name, arguments.follow, arguments.lines, as_json)
        case "replay":
            from runtime.operations import logs

            return logs.replay(plan, store, arguments.name, as_json)
        case _:
            from runtime.operations import storage

            return storage.run(arguments)
