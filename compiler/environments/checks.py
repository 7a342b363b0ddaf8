"""Whether jobs fit the environments that they run in: packages, versions, and what can be done there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from packaging.utils import canonicalize_name

from compiler.backends import Part
from compiler.diagnostics import Diagnostic, Position
from compiler.environments.compatibility import broken, holds
from compiler.environments.needs import Ask
from compiler.environments.stacks import Stack
from compiler.language.source import Tree
from compiler.plan.plan import Job


@dataclass(frozen=True)
class Scene:
    """A plan's jobs with their parts and what tells their settings, the cluster's environments, and the cluster's own tree.

    `graders` are the packages that each grader needs, with their versions.
    """

    jobs: Sequence[Job]
    parts: Mapping[tuple[str, str], Part]
    settings: Callable[[str], Tree]
    stacks: Mapping[str, Stack]
    cluster: Tree
    cluster_name: str
    graders: Mapping[str, Mapping[str, str]]

    def at(self, slot: str) -> Position:
        """Where the cluster says what an environment of its own is."""
        return self.cluster.key_at(("environments", slot))


@dataclass(frozen=True)
class Findings:
    """What is wrong, and what may be."""

    wrong: list[Diagnostic] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check(scene: Scene) -> Findings:
    """Hold the locks against the table, and every job against the environment that it runs in."""
    found = Findings()
    locks = {stack.lock.digest: stack.lock for stack in scene.stacks.values()}
    found.wrong.extend(mistake for lock in locks.values() for mistake in broken(lock))
    found.wrong.extend(_packages(scene))
    lacking: dict[tuple[str, Ask], list[Job]] = {}
    for job, ask in _asks(scene):
        if ask.capability not in scene.stacks[job.environment].provides:
            lacking.setdefault((job.environment, ask), []).append(job)
    for (slot, ask), jobs in lacking.items():
        if ask.otherwise is None:
            found.wrong.append(_lack(scene, slot, ask, jobs))
        else:
            found.warnings.append(_warning(scene, slot, ask, jobs))
    return found


def _packages(scene: Scene) -> Iterator[Diagnostic]:
    """Packages that jobs need and their environment has not, or in another version; each once, with the first who needs it."""
    for (slot, package, versions), whose in _needed(scene).items():
        stack = scene.stacks[slot]
        pin = stack.lock.packages.get(canonicalize_name(package))
        wanted = f"{package}{versions}"
        if pin is None:
            message = f"{whose} needs {wanted}, which environment '{stack.name}' has not"
            yield Diagnostic(scene.at(slot), message, "name another environment of the catalog there, or lock the package")
        elif not holds(versions, pin):
            message = f"{whose} needs {wanted}, and environment '{stack.name}' has {pin.version}"
            yield Diagnostic(scene.at(slot), message, f"it is pinned at {pin.position}")


def _needed(scene: Scene) -> dict[tuple[str, str, str], str]:
    """The environments, packages and versions that jobs need, and who needs them: a part of a backend, or a grader."""
    found: dict[tuple[str, str, str], str] = {}
    known: set[tuple[str, str, str, int]] = set()
    for job in scene.jobs:
        same = (job.environment, job.backend, job.what, id(job.settings))
        if job.environment not in scene.stacks or same in known:
            continue
        known.add(same)
        needs = {f"{job.what} of backend '{job.backend}'": scene.parts[job.backend, job.what].needs}
        needs |= {f"grader '{name}'": scene.graders.get(name, {}) for name in _graders(job)}
        for whose, packages in needs.items():
            for package, versions in packages.items():
                found.setdefault((job.environment, package, versions), whose)
    return found


def _graders(job: Job) -> Iterator[str]:
    """The graders that a job's settings name, for all of its answers or for those to one task."""
    tasks = job.settings.get("tasks")
    named = [task for task in tasks if isinstance(task, Mapping)] if isinstance(tasks, list) else []
    return (str(values["grader"]) for values in (job.settings, *named) if "grader" in values)


def _asks(scene: Scene) -> Iterable[tuple[Job, Ask]]:
    """The capabilities that jobs ask for. Jobs with the very same settings are asked once."""
    known: dict[tuple[str, str, int, int], tuple[Ask, ...]] = {}
    gpu = Ask(capability="gpu")
    for job in scene.jobs:
        if job.environment not in scene.stacks:
            continue
        if job.resources["gpus"]:
            yield job, gpu
        part = scene.parts[job.backend, job.what]
        if not part.capabilities:
            continue
        same = (job.backend, job.what, id(job.settings), id(job.execution))
        if same not in known:
            known[same] = part.asks(job.settings, job.execution)
        yield from ((job, ask) for ask in known[same])


def _lack(scene: Scene, slot: str, ask: Ask, jobs: Sequence[Job]) -> Diagnostic:
    """An error at the setting that asks for what is not there; for GPUs, at the environment."""
    job, name = jobs[0], scene.stacks[slot].name
    if ask.capability == "gpu":
        message = f"{_counted(jobs)} ask for GPUs in environment '{name}', which provides none"
        return Diagnostic(scene.at(slot), message, "name an environment with GPUs there, or ask for resources without")
    tree = scene.settings(job.id)
    at = tree.at((ask.at,)) if ask.at and ask.at in tree.data else scene.at(slot)
    message = f"'{ask.at}' of {job.id} needs {ask.capability}, which environment '{name}' does not provide"
    hint = f"choose another, or say `provides: [{ask.capability}]` where cluster {scene.cluster_name} has it installed"
    return Diagnostic(at, message, hint)


def _warning(scene: Scene, slot: str, ask: Ask, jobs: Sequence[Job]) -> str:
    lacking = f"which environment '{slot}' of cluster {scene.cluster_name} lacks"
    return f"{_counted(jobs)} need the {ask.capability}, {lacking}: {ask.otherwise}"


def _counted(jobs: Sequence[Job]) -> str:
    more = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
    return f"{jobs[0].id}{more}"
