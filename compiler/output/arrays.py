"""Which jobs go into Slurm's queue together, as one array: those of a stage that are alike.

Two jobs are alike where they are of one kind, backend and environment, ask Slurm for the same resources, and wait for the same
jobs; or each for the elements with one index of the same arrays, and otherwise for the same jobs: then Slurm's `aftercorr` has
each wait for its own. Alike jobs have the same distance from the plan's first jobs, so that no arrays wait for each other.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from compiler.language.places import Arrays
from compiler.plan.canonical import canonical_text
from compiler.plan.plan import Job


@dataclass(frozen=True)
class Array:
    """Jobs that are submitted together, by index."""

    name: str
    members: Mapping[int, Job]

    @property
    def first(self) -> Job:
        """The one with the lowest index."""
        return self.members[min(self.members)]


@dataclass(frozen=True)
class Seat:
    """A job's place in an array."""

    array: str
    index: int


@dataclass(frozen=True)
class Grouping:
    """The jobs in the order of submission, in which those of an array stand together; and the arrays."""

    jobs: tuple[Job, ...]
    arrays: tuple[Array, ...]
    seats: Mapping[str, Seat]


@dataclass(frozen=True)
class _Wish:
    """A group that a job could be in: those of the same `key`. `index` is None where any will do."""

    key: Hashable
    index: int | None


def grouped(jobs: Sequence[Job], allowed: Arrays | None, alone: Collection[str] = ()) -> Grouping:
    """Put alike jobs into arrays, where the cluster allows them. Those `alone` go in by themselves."""
    if allowed is None:
        return Grouping(tuple(jobs), (), {})
    arrays, seats = list[Array](), dict[str, Seat]()
    apart = frozenset(alone)
    for level in _levels(jobs):
        for array in _arrays([job for job in level if job.id not in apart], seats, allowed.most):
            arrays.append(array)
            seats |= {job.id: Seat(array.name, index) for index, job in array.members.items()}
    return Grouping(tuple(_together(jobs, arrays, seats)), tuple(arrays), seats)


def parents(job: Job) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The jobs that must succeed before this one starts, and those that must only have ended."""
    after = dict.fromkeys([*(edge.job for edge in job.inputs if edge.required), *job.after])
    ended = dict.fromkeys(edge.job for edge in job.inputs if not edge.required)
    return tuple(after), tuple(ended)


def _levels(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs by their distance from those that wait for none."""
    depth = dict[str, int]()
    for job in jobs:
        after, ended = parents(job)
        depth[job.id] = max((depth[parent] + 1 for parent in (*after, *ended)), default=0)
    levels = [list[Job]() for _ in range(max(depth.values(), default=-1) + 1)]
    for job in jobs:
        levels[depth[job.id]].append(job)
    return levels


def _arrays(jobs: Sequence[Job], seats: Mapping[str, Seat], most: int) -> Iterator[Array]:
    """The arrays of one level; each job goes where most others could go with it, and of equals where it waits for the same."""
    wishes = {job.id: list(_wishes(job, seats)) for job in jobs}
    liked = Counter(wish.key for found in wishes.values() for wish in found)
    groups: defaultdict[Hashable, list[tuple[Job, int | None]]] = defaultdict(list)
    for job in jobs:
        best = max(wishes[job.id], key=lambda wish: liked[wish.key])
        groups[best.key].append((job, best.index))
    for group in groups.values():
        for members in _numbered(group, most):
            if len(members) > 1:
                yield Array(_name(members), members)


def _wishes(job: Job, seats: Mapping[str, Seat]) -> Iterator[_Wish]:
    after, ended = parents(job)
    alike = (job.kind, job.backend, job.environment, canonical_text(job.resources), frozenset(ended))
    yield _Wish((*alike, frozenset(after), None), None)
    for index in sorted({seats[parent].index for parent in after if parent in seats}):
        own = [parent for parent in after if parent in seats and seats[parent].index == index]
        yield _Wish((*alike, frozenset(after).difference(own), frozenset(seats[parent].array for parent in own)), index)


def _numbered(group: Sequence[tuple[Job, int | None]], most: int) -> Iterator[dict[int, Job]]:
    """The group cut into arrays of at most `most` elements, in each of which an index occurs once."""
    cut: list[dict[int, Job]] = []
    met = Counter[int]()
    for place, (job, wanted) in enumerate(group):
        number, index = divmod(place, most) if wanted is None else (met[wanted], wanted)
        met[index] += 1
        cut += [{} for _ in range(number + 1 - len(cut))]
        cut[number][index] = job
    yield from cut


def _name(members: Mapping[int, Job]) -> str:
    """Unique by what is in it, so that a submission can be recognised."""
    told = "\n".join(f"{index} {job.id} {job.fingerprint}" for index, job in sorted(members.items()))
    kind = members[min(members)].kind
    return f"{kind}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def _together(jobs: Sequence[Job], arrays: Sequence[Array], seats: Mapping[str, Seat]) -> Iterator[Job]:
    """The jobs level by level, an array where its first one is."""
    members = {array.name: [array.members[index] for index in sorted(array.members)] for array in arrays}
    for level in _levels(jobs):
        for job in level:
            if job.id not in seats:
                yield job
            else:
                yield from members.pop(seats[job.id].array, ())
