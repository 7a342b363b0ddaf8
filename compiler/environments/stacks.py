"""Stacks: a cluster's environments as the catalog and their locks describe them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from compiler.diagnostics import Position
from compiler.environments.locks import Lock, read_environment_lock
from compiler.language.catalog import Catalog
from compiler.language.places import Cluster, Environment


@dataclass(frozen=True)
class Stack:
    """One environment of a cluster: its name in the catalog, what its lock pins, what jobs can do there, what must import."""

    name: str
    python: str
    lock: Lock
    provides: frozenset[str]
    imports: tuple[str, ...]


def stacks_of(catalog: Catalog, cluster: Cluster, slots: Iterable[str]) -> dict[str, Stack]:
    """The stacks of some of a cluster's environments, by their names there; without those that the catalog does not know.

    Raises SpecError for a lock that cannot be read.
    """
    found = {}
    for slot in slots:
        here = cluster.environments[slot]
        name = here.environment or slot
        known = catalog.models.get(("environments", name))
        if isinstance(known, Environment):
            provides = frozenset((set(known.provides) | set(here.provides)) - set(here.without))
            lock = lock_of(catalog, name, known)
            found[slot] = Stack(name, known.python, lock, provides, tuple(known.imports))
    return found


def lock_of(catalog: Catalog, name: str, environment: Environment) -> Lock:
    """The lock of an environment of the catalog. Raises SpecError."""
    places = [catalog.at("environments", name, ("lock", number)) for number in range(len(environment.lock))]
    files = [seen_from(at, path) for at, path in zip(places, environment.lock, strict=True)]
    return read_environment_lock(files, places[0])


def seen_from(at: Position, path: str) -> Path:
    """A path as it is meant in the file that says it."""
    return Path(at.file).parent / path


def digests(stacks: Mapping[str, Stack]) -> dict[str, str]:
    """The hash of each environment's lock."""
    return {slot: stack.lock.digest for slot, stack in stacks.items()}
