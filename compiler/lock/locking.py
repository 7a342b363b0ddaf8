"""What `lethe lock` writes and `lethe compile --locked` holds the plan to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from compiler.diagnostics import TreeError
from compiler.language.places import Cluster
from compiler.lock.file import Lock, Locked
from compiler.lock.pins import Pin, pins
from compiler.lock.resolve import Answer, Resolver, resolve
from compiler.plan.plan import Plan

Named = tuple[str, str | None, str]  # a file as the cluster names it, its hash or None, and why there is none


def locked(plan: Plan, cluster: Cluster, before: Lock | None, resolvers: Sequence[Resolver], *, fresh: bool) -> Lock:
    """The lock of a plan that was compiled without one. What an earlier lock says stays, unless a `fresh` answer replaces
    it."""
    found = {pin: _answer(pin, before, resolvers, fresh=fresh) for pin in pins(plan.jobs)}
    files = list(environment_files(plan, cluster))
    revisions: dict[str, dict[str, dict[str, str]]] = {"models": {}, "datasets": {}}
    for pin, answer in found.items():
        if answer.commit is not None:
            revisions[pin.group].setdefault(pin.name, {})[pin.revision] = answer.commit
    unresolved = {str(pin): answer.why for pin, answer in found.items() if answer.commit is None}
    unresolved |= {f"file {name}": why for name, digest, why in files if digest is None}
    unresolved |= {f"environment {name}": "neither the catalog nor its cluster names files that say what is installed in it"
                   for name in without_files(plan, cluster)}  # fmt: skip
    return Lock(
        lethe=1, study=plan.study, models=revisions["models"], datasets=revisions["datasets"],
        files={name: digest for name, digest, _ in files if digest is not None}, environments=locks(plan),
        unresolved=unresolved,
    )  # fmt: skip


def _answer(pin: Pin, before: Lock | None, resolvers: Sequence[Resolver], *, fresh: bool) -> Answer:
    known = before.commit(pin) if before else None
    if known is not None and not fresh:
        return Answer(known)
    answer = resolve(pin, resolvers)
    return Answer(known) if answer.commit is None and known is not None else answer


def environments(plan: Plan) -> list[str]:
    """The environments that the plan's jobs run in."""
    return sorted({job.environment for job in plan.jobs})


def locks(plan: Plan) -> dict[str, str]:
    """The hash of the lock of each environment that the catalog knows."""
    return {job.environment: job.lock for job in plan.jobs if job.lock is not None}


def without_files(plan: Plan, cluster: Cluster) -> list[str]:
    """The environments of which nothing can be locked."""
    return [name for name in environments(plan) if name not in locks(plan) and not cluster.environments[name].files]


def environment_files(plan: Plan, cluster: Cluster) -> Iterator[Named]:
    """Every file that says what is installed where the plan's jobs run, once. Paths are those of the repository."""
    for name in sorted({file for environment in environments(plan) for file in cluster.environments[environment].files}):
        digest, why = _digest(name)
        yield name, digest, why


def _digest(name: str) -> tuple[str | None, str]:
    if "$" in name:
        return None, "its path is known only where its jobs run"
    try:
        with Path(name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), ""
    except OSError as error:
        return None, f"cannot be read here: {error.strerror}"


def drift(plan: Plan, cluster: Cluster, lock: Locked) -> list[str]:
    """What a plan that was compiled with a lock names and the lock does not hold, or holds otherwise; one line each."""
    found = [f"{pin} is not locked" for pin in pins(plan.jobs) if not pin.fixed]
    for name, now in sorted(locks(plan).items()):
        found += _changed(f"environment {name}", lock.lock.environments.get(name), now)
    for name, digest, why in environment_files(plan, cluster):
        known = lock.lock.files.get(name)
        if digest is None:
            found.append(f"file {name} {why}")
        else:
            found += _changed(f"file {name}", known, digest)
    return found


def _changed(what: str, known: str | None, digest: str) -> list[str]:
    """What is to be said of a thing whose hash is not the locked one."""
    if known is None:
        return [f"{what} is not locked"]
    return [] if known == digest else [f"{what} has changed: it was {known[:12]} when it was locked, and is {digest[:12]}"]


def hold(plan: Plan, cluster: Cluster, lock: Locked | None, spec: Path) -> None:
    """Raise TreeError with all drift, or because there is no lock to hold the plan to."""
    if lock is None:
        raise TreeError(f"{spec} has no lock: there is no {spec.with_suffix('.lock')}. Write it with: lethe lock {spec}")
    found = drift(plan, cluster, lock)
    if found:
        raise TreeError(_listed(f"{spec} is not what {lock.path} locks:", found) + f"\nLock it again with: lethe lock {spec}")


def _listed(head: str, lines: Iterable[str]) -> str:
    return "\n  ".join([head, *lines])
