"""`squeue --format=…` on a pretended cluster: every job that was ever there, as with --states=all."""

from __future__ import annotations

import getpass
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime.simulate.cluster import Cluster
from runtime.simulate.slurm import SHORT, Job


def lines(cluster: Cluster, template: str, names: Sequence[str] | None) -> list[str]:
    """One line a job; `template` knows %i %j %t %T %r %E %u %k."""
    found = cluster.queue.jobs.values()
    return [_line(template, _fields(job)) for job in found if names is None or job.name in names]


def _line(template: str, fields: Mapping[str, str]) -> str:
    return re.sub("%([a-zA-Z])", lambda found: fields[found[1]], template)


def _fields(job: Job) -> dict[str, str]:
    waits = ",".join(f"{_asked(how)}:{parent}({_met(how)})" for parent, how in job.waits.items())
    return {
        "i": str(job.id),
        "j": job.name,
        "t": SHORT[job.state],
        "T": job.state,
        "r": job.reason or "None",
        "E": waits or "(null)",
        "u": getpass.getuser(),
        "k": job.comment,
    }


def _asked(how: str) -> str:
    return "afterok" if how == "failed" else how


def _met(how: str) -> str:
    return "failed" if how == "failed" else "unfulfilled"


def main(arguments: Sequence[str]) -> int:
    """Answer `FOLDER --format=… [--name=NAME,…]`, whatever else is asked."""
    folder, *options = arguments
    (template,) = [word.partition("=")[2] for word in options if word.startswith("--format=")]
    names = [word.partition("=")[2].split(",") for word in options if word.startswith("--name=")]
    print("\n".join(lines(Cluster.open(Path(folder)), template, names[0] if names else None)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
