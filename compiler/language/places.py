"""What the catalog says of places: clusters with their resources and limits, and the environments that are installed there."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from compiler.language.references import Refers
from compiler.language.study import Name, Positive, Size
from compiler.language.validation import Strict
from compiler.language.words import Memory, Module, Python, Time, Variable, Word

Capability = Literal["gpu", "network", "flash_attn", "latex"]


class Environment(Strict):
    """Packages that are installed together: a lock says which, in which versions."""

    about: str
    """One line on what it is for."""
    python: Python
    """The version of Python, such as 3.11."""
    lock: list[str] = Field(min_length=1)
    """Files of pinned requirements, seen from this file; together they are the lock."""
    imports: list[Module] = Field(min_length=1)
    """Modules that must import before anything runs in it."""
    provides: list[Capability] = Field(default=[])
    """What jobs can do in it, beside running on a CPU."""


class Installation(Strict):
    """A catalog's environment as a cluster has it: what a job's shell loads before it runs."""

    environment: Annotated[Name, Refers("environments")] | None = None
    """Which environment of the catalog it is; default: the one of its own name."""
    modules: list[str] = Field(default=[])
    """For `module load`, in this order."""
    activate: str | None = None
    """A script to source, such as a virtual environment's."""
    exports: dict[Variable, str] = Field(default={})
    """Variables to set."""
    unsets: list[Variable] = Field(default=[])
    """Variables to remove."""
    provides: list[Capability] = Field(default=[])
    """What jobs can do there that the catalog's environment does not promise, such as with a site's own flash-attn."""
    without: list[Capability] = Field(default=[])
    """What the catalog's environment promises and this place has not, such as the network on compute nodes."""
    files: list[str] = Field(default=[])
    """More files that say what is installed, such as a container's image, seen from the repository. `lethe lock` records their
    hashes with those of the environment's own lock."""


class Resources(Strict):
    """What one class of jobs asks of the cluster."""

    partition: Word | None = None
    """Slurm's partition; null: the site's default."""
    time: Time
    """The time limit, in one of Slurm's six forms."""
    nodes: int = Field(default=1, ge=1)
    """How many nodes, each with what follows."""
    cpus: int = Field(ge=1)
    """CPUs of a node."""
    mem: Memory
    """Memory of a node, with its unit."""
    gpus: int = Field(default=0, ge=0)
    """GPUs of a node."""
    gpu: Word | None = None
    """The kind of GPU, by the site's name."""


class Caps(Strict):
    """The most that one user may ask for; null: no limit that is known."""

    time: Time | None = None
    """Of a job, in one of Slurm's six forms."""
    cpus: Positive | None = None
    """At a time."""
    mem: Size | None = None
    """At a time, with its unit."""
    gpus: int | None = Field(default=None, ge=0)
    """At a time."""


class Gpu(Strict):
    """One kind of GPU."""

    gigabytes: float = Field(gt=0)
    """Its memory in GB of 10^9 bytes, the number in its name."""


class Limits(Caps):
    """Caps of the site on one user, on every partition."""

    submitted: int = Field(ge=1)
    """Jobs that may be queued and running together."""


class Purge(Strict):
    """What a site deletes by itself."""

    days: Positive
    """Files that nobody used for so many days."""


class Arrays(Strict):
    """Whether jobs that are alike go into Slurm's queue as one array."""

    at_once: Positive
    """How many elements of one run at a time."""
    most: Positive = 1001
    """The site's MaxArraySize; indices stay below it."""


class Restarts(Strict):
    """How a training that its time limit ends, or that is preempted, goes on."""

    requeue: bool = True
    """Whether Slurm may start a job again. Else a training goes in as several jobs, one behind the other (`links`)."""
    attempts: Positive = 8
    """How often Slurm may start one job, and how many links a training may have."""
    links: Positive | None = None
    """Where Slurm may not start a job again: how many jobs, one behind the other, each training is submitted as. What is not
    needed any more ends at once. null: as many as its estimated hours need, and one where there is no estimate."""
    notice: Positive = 300
    """Seconds before its time limit at which a training is told to save; at most a quarter of its time is taken."""


class Cluster(Strict):
    """A place that runs jobs, as data."""

    about: str
    """One line on what it is."""
    executor: Literal["slurm", "local"]
    """What starts jobs there."""
    store: str
    """The folder of artifacts; $NAMES are expanded by the job's own shell."""
    account: Word | None = None
    """Slurm's account; null: the user's default."""
    gpu_request: Literal["gres", "gpus_per_node"] = "gres"
    """How GPUs are asked for."""
    limits: Limits
    """What the site allows one user."""
    arrays: Arrays | None = None
    """Alike jobs as arrays; null: each job by itself."""
    partitions: dict[Name, Caps] = Field(default={})
    """What it allows one user on each partition; empty: nothing is known of them."""
    gpus: dict[Name, Gpu] = Field(default={})
    """The kinds of GPU, by the site's names."""
    quota: Size | None = None
    """How much one user may store where the store is."""
    purge: Purge | None = None
    """What the site deletes there, as `lethe storage` tells; null: nothing is known."""
    restarts: Restarts = Restarts()
    """How trainings go on that ended early."""
    kill_on_invalid_dep: bool = False
    """Whether Slurm should cancel jobs whose dependency failed."""
    environments: dict[Name, Installation]
    """What jobs' shells load; a backend names the one it runs in."""
    resources: dict[Name, Resources]
    """Classes of jobs."""
