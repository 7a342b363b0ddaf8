"""What is said of a simulation: how each job ended, what hangs, and what a second submit_all.sh does about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

INCOMPLETE = 3
SHOWN = 10
ENDS: Mapping[str, str] = {
    "failed": "as told",
    "incomplete": "ran, lacking what did not",
    "broken": "failed, and nobody told them to",
    "cancelled": "never run: taken out of the queue by Slurm, as a job that they need failed",
    "hanging": "never run: left in the queue for ever",
}


@dataclass(frozen=True)
class End:
    """How a job ended: done, or as ENDS says; and why, where it was not done."""

    state: str
    reason: str


@dataclass(frozen=True)
class Again:
    """What a second submit_all.sh submits, and the jobs that are not done when those have run without a failure."""

    submitted: Sequence[str]
    left: Sequence[str]


@dataclass(frozen=True)
class Outcome:
    """A whole simulation. `ends` are by job, before the second submission; `repeated` must be empty."""

    study: str
    ends: Mapping[str, End]
    repeated: Sequence[str]
    again: Again

    def named(self, state: str) -> list[str]:
        """The jobs that ended so."""
        return [job for job, end in self.ends.items() if end.state == state]

    @property
    def code(self) -> int:
        """0 when all that could run did, nothing hangs or was submitted twice, and a second submission mends all; else 3."""
        wrong = self.named("hanging") or self.named("broken") or self.repeated or self.again.left
        return INCOMPLETE if wrong else 0


def as_json(outcome: Outcome) -> dict[str, Any]:
    """One document for scripts."""
    return {
        "lethe": 1,
        "study": outcome.study,
        "counts": {state: len(outcome.named(state)) for state in ("done", *ENDS)},
        "jobs": [{"job": job, **asdict(end)} for job, end in outcome.ends.items()],
        "submitted_twice": list(outcome.repeated),
        "again": asdict(outcome.again),
    }


def text(outcome: Outcome) -> str:
    """The same for people."""
    return "\n".join(_lines(outcome))


def _lines(outcome: Outcome) -> Iterator[str]:
    yield f"{outcome.study} on a simulated Slurm: {len(outcome.named('done'))} of {len(outcome.ends)} jobs done"
    for state, meaning in ENDS.items():
        jobs = outcome.named(state)
        if jobs:
            yield f"  {len(jobs)} {state} ({meaning})"
            yield from _listed([f"{job}: {outcome.ends[job].reason}" for job in jobs])
    yield f"  {len(outcome.repeated) or 'none'} submitted twice"
    yield from _listed(outcome.repeated)
    yield from _second(outcome.again)


def _second(again: Again) -> Iterator[str]:
    if not again.submitted and not again.left:
        yield "submit_all.sh, run again, submits nothing: all is done"
        return
    yield f"submit_all.sh, run again, submits {len(again.submitted)}"
    yield from _listed(again.submitted)
    yield f"  {len(again.left)} jobs are not done even then" if again.left else "  after which all is done"
    yield from _listed(again.left)


def _listed(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"    {line}" for line in lines[:SHOWN])
    if len(lines) > SHOWN:
        yield f"    and {len(lines) - SHOWN} more; --json lists them"
