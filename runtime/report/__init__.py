"""The report: the table of a study that a researcher trusts, as text, JSON and one HTML file.

A report is a pure function of the store and the plan. `settings` reads what it covers, `results` loads scores, `compare` pairs
them by item, `statistics` holds the formulas, `summary` is the whole report as data, and the other modules only show it.
"""

from __future__ import annotations

import json as jsonlib
import os
import sys
from pathlib import Path

from runtime.report import plan as plans
from runtime.report.document import document
from runtime.report.output import write
from runtime.report.settings import parse
from runtime.report.summary import build
from runtime.report.tables import coloured, text

INCOMPLETE = 3


def command(plan: Path, store: Path | None, json: bool) -> int:
    """`python -m runtime table PLAN`: recompute the report from the store, show it, write its files, say where they are.

    Returns 3 while results are missing or in error, which the output names with their reasons, and 0 otherwise. The files go
    to the report job's own folder once they are complete, to `report/STUDY/` in the store until then.
    """
    found = plans.read(plan, store)
    planned = found.report()
    report = build(parse(planned.config), planned.sources, planned.fingerprint, found.waits_for)
    folder = found.store / "report" / report.settings.study if report.problems else planned.out
    write(report, folder)
    where = f"report: {folder / 'report.html'}"
    if json:
        print(jsonlib.dumps(document(report), indent=1, sort_keys=True))
        print(where, file=sys.stderr)
    else:
        plain = text(report)
        print(coloured(plain) if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else plain)
        print(where)
    return INCOMPLETE if report.problems else 0
