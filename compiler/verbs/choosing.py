"""Which jobs of a compiled study somebody means, for the verbs that the runtime does: it gets their ids through a file."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from compiler.verbs import runtime

CHOOSING = """\
SELECT is written as for `lethe ls`: AXIS:VALUE, cell:ID, job:ID, stage:KIND, result:WORD; a comma is and, several words are or;
+X and X+ add what X is made from and what is made from X. It means jobs of the plan as it is compiled.
"""


def arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """What every verb about chosen jobs of a compiled study can be told."""
    runtime.arguments(parser)
    parser.add_argument("select", nargs="*", metavar="SELECT", help=f"{what}; see below")


def teach(parser: argparse.ArgumentParser, text: str) -> None:
    """Say in the help how jobs are chosen, and then what the verb is about."""
    parser.epilog = f"{CHOOSING}\n{text}\n{parser.epilog or ''}"


def chosen_words(options: argparse.Namespace, select: Sequence[str]) -> list[str]:
    """The words that hand a choice to the runtime; none where all jobs are meant. Raises LetheError for a wrong choice."""
    if not select:
        return []
    plan = runtime.compiled_plan(options.spec, canary=getattr(options, "canary", False))
    jobs = jobs_of(plan, select, options.store)
    return ["--jobs", _handed_over(jobs)]


def jobs_of(path: Path, select: Sequence[str], store: Path | None) -> list[str]:
    """The ids of the jobs of a compiled plan that SELECT means. Raises SelectionError, also where it means none."""
    from compiler.lower.workshop import MANIFEST
    from compiler.plan.plan import read_plan
    from compiler.select.grammar import SelectionError, asks_for, read_selector
    from compiler.select.grammar import select as choose
    from compiler.select.offer import offer

    selector, plan = read_selector(select), read_plan(path)
    results = runtime.results(path, store) if asks_for(selector, "result") else {}
    kinds = json.loads(MANIFEST.read_text(encoding="utf-8"))["kinds"]
    jobs = [job.id for job in choose(selector, offer(plan, plan, results, kinds))]
    if not jobs:
        raise SelectionError(f"no job is what '{' '.join(select)}' selects in {path}\n  hint: `lethe ls` takes the same words")
    return jobs


def _handed_over(jobs: Iterable[str]) -> str:
    """A file without a name, which the runtime inherits, with an id a line."""
    file = os.memfd_create("jobs", 0)
    with os.fdopen(os.dup(file), "w", encoding="utf-8") as text:
        text.write("\n".join(jobs) + "\n")
    os.set_inheritable(file, True)
    return f"/dev/fd/{file}"
