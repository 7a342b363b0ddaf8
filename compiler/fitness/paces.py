"""How fast trainings were, from the done-markers of those that a study has finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from compiler.plan.plan import Job, Plan
from compiler.plan.results import done_marker

COUNTED_AS = ("steps", "updates")  # what the facts of a training call its steps


@dataclass(frozen=True)
class Pace:
    """Seconds a step of one algorithm at one scale on one kind of GPU (None: no GPU, or no kind was asked for)."""

    algorithm: str
    scale: str
    gpu: str | None
    median: float
    least: float
    most: float
    trainings: int


@dataclass(frozen=True)
class Paces:
    """What a study's finished trainings tell, and of how many of its trainings nothing is known: not done, or not timed."""

    paces: tuple[Pace, ...]
    pending: int
    untimed: tuple[str, ...]


def paces(plan: Plan, store: Path) -> Paces:
    """The paces of a plan's trainings that are done in `store`."""
    measured: dict[tuple[str, str, str | None], list[float]] = {}
    pending, untimed = 0, []
    for job in (job for job in plan.jobs if job.cost.get("paced_as")):
        marker = _marker(store, job)
        if marker is None:
            pending += 1
        elif (pace := _pace(marker)) is None:
            untimed.append(job.id)
        else:
            at = job.cost["paced_as"]
            measured.setdefault((at["algorithm"], at["scale"], at["gpu"]), []).append(pace)
    found = [Pace(*key, median(values), min(values), max(values), len(values)) for key, values in measured.items()]
    return Paces(tuple(sorted(found, key=lambda pace: (pace.algorithm, pace.scale, pace.gpu or ""))), pending, tuple(untimed))


def _marker(store: Path, job: Job) -> Mapping[str, Any] | None:
    """A job's done-marker, if it is there and of this very job."""
    found = done_marker(store / job.path)
    return found if found and found.get("fingerprint") == job.fingerprint else None


def _pace(marker: Mapping[str, Any]) -> float | None:
    """Seconds a step, with the loading of the model in them; None where Lethe did not time the job."""
    facts, seconds = marker.get("facts"), marker.get("seconds")
    steps = next((facts[name] for name in COUNTED_AS if name in facts), None) if isinstance(facts, dict) else None
    return seconds / steps if isinstance(seconds, int | float) and isinstance(steps, int) and seconds > 0 < steps else None


def as_yaml(found: Sequence[Pace]) -> str:
    """The paces as they stand under a study's `define`, or in a file of its catalog."""
    lines = ["algorithms:"]
    for algorithm in dict.fromkeys(pace.algorithm for pace in found):
        lines += [f"  {algorithm}:", f"    extends: {algorithm}", "    pace:"]
        own = [pace for pace in found if pace.algorithm == algorithm]
        for scale in dict.fromkeys(pace.scale for pace in own):
            lines += _scale([pace for pace in own if pace.scale == scale], scale)
    return "\n".join(lines)


def _scale(found: Sequence[Pace], scale: str) -> list[str]:
    """One scale's number, or one for each kind of GPU."""
    named = [pace for pace in found if pace.gpu is not None]
    if not named:
        return [f"      {scale}: {_told(found[0])}"]
    return [f"      {scale}:", *(f"        {pace.gpu}: {_told(pace)}" for pace in named)]


def _told(pace: Pace) -> str:
    many = f"{pace.trainings} training{'s' if pace.trainings > 1 else ''}"
    spread = f", from {pace.least:.3g} to {pace.most:.3g}" if pace.trainings > 1 else ""
    return f"{pace.median:.3g}  # {many}{spread}"
