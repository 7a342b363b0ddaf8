"""Asking the runtime about a tree, with Slurm's programs replaced by ones that answer as told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from runtime.store import ledger, markers
from tests.tools import without_slurm
from tests.tree import Tree

COMMAND = """#!{python} -SE
import json, pathlib, sys
here = pathlib.Path(__file__)
(here.parent / "calls").open("a").write(json.dumps([here.name, *sys.argv[1:]]) + "\\n")
print(here.with_suffix(".out").read_text(), end="")
sys.exit("slurm_load_jobs error: no controller" if here.with_suffix(".fails").exists() else 0)
"""


def answer(tree: Tree, name: str, text: str) -> None:
    """Make the command `name` print `text`."""
    path = tree.root.parent / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(COMMAND.format(python=sys.executable))
    path.chmod(0o755)
    path.with_suffix(".out").write_text(text)


def calls(tree: Tree) -> list[list[str]]:
    """The commands that were called, with their arguments."""
    path = tree.root.parent / "bin/calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def ask(
    tree: Tree, verb: str, *options: str, environment: Mapping[str, str] | None = None, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """`python -m runtime VERB PLAN OPTIONS…`, with this machine's programs on the path, but Slurm's."""
    folder = tree.root.parent
    return subprocess.run(
        [sys.executable, "-m", "runtime", verb, str(tree.generated / "plan.json"), *options],
        cwd=tree.root,
        env={**tree.environment(), "PATH": f"{folder / 'bin'}:{without_slurm(folder / 'tools')}", **(environment or {})},
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )


def finish(tree: Tree, job: str) -> None:
    """Leave the artifact of a job, as finished."""
    tree.out(job).mkdir(parents=True)
    fingerprint = tree.jobs[job]["fingerprint"]
    markers.write(tree.out(job), markers.Marker(job, job.partition("/")[0], "traces", fingerprint, {}, None, markers.now()))


def note(tree: Tree, event: str, job: str, number: int | str, why: str = "") -> None:
    """Add a line to the ledger, of a job or of one of its links."""
    ledger.append(
        ledger.path_of(tree.store, tree.study), event, job, tree.jobs[job.partition("+")[0]]["fingerprint"], number, why
    )


def queue(tree: Tree, *rows: tuple[int, str, str, str]) -> None:
    """Let squeue know these jobs: id, job, state, reason."""
    lines = [f"{number}|{tree.name(job)}|{state}|{reason}|{tree.store}" for number, job, state, reason in rows]
    answer(tree, "squeue", "\n".join([*lines, ""]))


def say(tree: Tree, job: str, number: int, text: str) -> Path:
    """Leave a log of a job's attempt."""
    path = tree.log(job, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def chosen(tree: Tree, *jobs: str) -> str:
    """A file with the ids of jobs."""
    path = tree.root.parent / "chosen"
    path.write_text("\n".join(jobs) + "\n")
    return str(path)
