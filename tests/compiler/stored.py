"""A store as jobs leave it: done-markers and the ledger."""

from __future__ import annotations

import json

from tests.compiler.project import Project


def finish(project: Project, job: str, fingerprint: str | None = None) -> None:
    """Leave the artifact of a compiled job in the store, as finished."""
    found = project.jobs()[job]
    own = found["fingerprint"]
    folder = project.root / "store" / f"{job}-{own[:12]}"
    folder.mkdir(parents=True)
    marker = {"lethe": 1, "job": job, "kind": found["kind"], "type": found["output"], "fingerprint": fingerprint or own}
    (folder / "DONE.json").write_text(json.dumps({**marker, "facts": {}, "seconds": 1.0, "finished": "2026-01-01T00:00:00Z"}))


def record(project: Project, event: str, job: str, fingerprint: str | None = None, number: int = 1) -> None:
    """Add a line to the ledger of the toy study: a process of this machine, or a job of Slurm, did `event`."""
    ledger = project.root / "store" / "ledger" / "toy.tsv"
    ledger.parent.mkdir(parents=True, exist_ok=True)
    columns = ["2026-01-01T00:00:00Z", event, job, fingerprint or project.jobs()[job]["fingerprint"], str(number), ""]
    with ledger.open("a", encoding="utf-8") as file:
        file.write("\t".join(columns) + "\n")
