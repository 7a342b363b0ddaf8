"""In what a job differs from what it was, field by field, and what each difference does to its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from compiler.language.source import leaves
from compiler.plan.plan import Job

Effect = Literal["invalidates results", "execution only", "cosmetic"]
INVALIDATES: Effect = "invalidates results"
EXECUTION: Effect = "execution only"
COSMETIC: Effect = "cosmetic"

ABSENT = "(absent)"
SHORT = 12  # hex digits of a fingerprint that are shown

_DECISIVE = ("kind", "backend", "what", "code", "output")
_RUN = ("environment", "lock", "after", "execution", "resources")
# What else a job has (its cost, its cell) follows from these, or changes nothing that is run.
_REST = tuple(
    f.name for f in fields(Job) if f.name not in {*_DECISIVE, *_RUN, "id", "settings", "config", "inputs", "fingerprint"}
)


Triple = tuple[str, Any, Any]


@dataclass(frozen=True)
class Difference:
    """One field of one job; `old` or `new` is ABSENT where only the other has it."""

    field: str
    old: Any
    new: Any
    effect: Effect


@dataclass(frozen=True)
class Comparison:
    """A job beside what it was: its own differences, and those of its inputs that are made anew."""

    own: tuple[Difference, ...] = ()
    stale_inputs: tuple[str, ...] = ()

    @property
    def invalidates(self) -> bool:
        return any(found.effect == INVALIDATES for found in self.own)


def compare_jobs(old: Job, new: Job, renamed: Mapping[str, str]) -> Comparison:
    """How `new` differs from `old`; `renamed` maps the new names of other jobs to their old ones.

    A change of settings stands for what it does to the rendered config. A fingerprint that changed although nothing that can be
    compared did is a difference of its own.
    """
    if old == new:
        return Comparison()
    invalid = old.fingerprint != new.fingerprint
    edges = _edges(old, new, renamed)
    own = [*_decisive(old, new), *edges.rewired]
    if invalid and not own and not edges.stale:
        own = [("fingerprint", old.fingerprint[:SHORT], new.fingerprint[:SHORT])]
    found = [Difference(*triple, INVALIDATES if invalid else COSMETIC) for triple in own]
    found += [Difference(*triple, COSMETIC) for triple in edges.moved]
    told = {field for field, *_ in own}  # an execution value that decides the result stands in the config
    found += [Difference(*triple, EXECUTION) for triple in _of(old, new, _RUN) if f"config.{triple[0]}" not in told]
    found += [Difference(*triple, EXECUTION) for triple in _required(old, new)]
    if not found and not invalid and old.id == new.id:
        found = [Difference(*triple, COSMETIC) for triple in _of(old, new, _REST)]
    return Comparison(tuple(found), tuple(edges.stale))


def _decisive(old: Job, new: Job) -> list[Triple]:
    """What the job's own part of the fingerprint is made of: the config only where the settings do not say why."""
    own = _of(old, new, _DECISIVE)
    settings = _of(old, new, ("settings",))
    return own + (settings or _of(old, new, ("config",)))


@dataclass(frozen=True)
class _Edges:
    """A job's inputs beside what they were: others; the same under another job's name; the same jobs, but made anew."""

    rewired: list[Triple]
    moved: list[Triple]
    stale: list[str]


def _edges(old: Job, new: Job, renamed: Mapping[str, str]) -> _Edges:
    before = {edge.name: edge for edge in old.inputs}
    found = _Edges([], [], [])
    for edge in new.inputs:
        was = before.pop(edge.name, None)
        if was is None:
            found.rewired.append((f"input.{edge.name}", ABSENT, edge.job))
        elif renamed.get(edge.job, edge.job) != was.job:
            same = was.fingerprint == edge.fingerprint
            (found.moved if same else found.rewired).append((f"input.{edge.name}", was.job, edge.job))
        elif was.fingerprint != edge.fingerprint:
            found.stale.append(edge.job)
    found.rewired.extend((f"input.{name}", edge.job, ABSENT) for name, edge in before.items())
    return found


def _required(old: Job, new: Job) -> list[Triple]:
    before = {edge.name: edge.required for edge in old.inputs}
    pairs = [(edge.name, before.get(edge.name, edge.required), edge.required) for edge in new.inputs]
    return [(f"input.{name}.required", was, now) for name, was, now in pairs if was != now]


def _of(old: Job, new: Job, names: Iterable[str]) -> list[Triple]:
    """The differences in some of the jobs' fields."""
    found: list[Triple] = []
    for name in names:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            found += flat_differences(name, before, after)
    return found


def flat_differences(name: str, old: Any, new: Any) -> list[Triple]:
    """Where two values differ, with the way to each place: `settings.prompt.template`. Lists are compared as a whole."""
    before, after = _flat(name, old), _flat(name, new)
    names = dict.fromkeys([*before, *after])
    pairs = ((place, before.get(place, ABSENT), after.get(place, ABSENT)) for place in names)
    return [(place, was, now) for place, was, now in pairs if was != now]


def _flat(name: str, value: Any) -> dict[str, Any]:
    found = {".".join(map(str, path)): leaf for path, leaf in leaves({name: value}) if not isinstance(leaf, Mapping)}
    return {place: list(leaf) if isinstance(leaf, tuple) else leaf for place, leaf in found.items()}
