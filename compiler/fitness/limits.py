"""What a plan asks of its cluster beyond what there is: partitions' limits, GPUs' and nodes' memory, the storage quota."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from compiler.diagnostics import Diagnostic, Position, nearest
from compiler.fitness import memory
from compiler.fitness.demand import Need, share, shown
from compiler.fitness.memory import GB
from compiler.fitness.models import Model
from compiler.fitness.remarks import Remark
from compiler.language.catalog import Catalog
from compiler.language.places import Caps, Cluster, Resources
from compiler.language.source import PathKey, Tree
from compiler.plan.plan import Job
from compiler.slurm import hours, shown_size, size


@dataclass(frozen=True)
class Place:
    """A cluster, where it says things, where the study asks for it, and what tells the execution values of a job."""

    catalog: Catalog
    name: str
    cluster: Cluster
    asked: Position
    execution: Callable[[str], Tree]

    def wrong(self, path: PathKey, message: str, hint: str) -> Diagnostic:
        return Diagnostic(self.catalog.at("clusters", self.name, path), message, hint)


def beyond_limits(place: Place, jobs: Sequence[Job]) -> Iterator[Diagnostic]:
    """Every class of resources that some job uses and no user may ask for."""
    for name in dict.fromkeys(str(job.resources["class"]) for job in jobs):
        asked = place.cluster.resources[name]
        yield from _unknown(place, name, asked)
        yield from _beyond(place, name, asked)


def _unknown(place: Place, name: str, asked: Resources) -> Iterator[Diagnostic]:
    """A partition or a kind of GPU that is not among those the cluster lists."""
    cluster = place.cluster
    for field, what, word, known in (
        ("partition", "partition", asked.partition, cluster.partitions), ("gpu", "GPU", asked.gpu, cluster.gpus),
    ):  # fmt: skip
        if word is not None and known and word not in known:
            yield place.wrong(
                ("resources", name, field), f"cluster '{place.name}' has no {what} '{word}'", nearest(word, known)
            )


def _beyond(place: Place, name: str, asked: Resources) -> Iterator[Diagnostic]:
    """What one class asks for beyond its partition's limits, or beyond those of the whole cluster."""
    partition = place.cluster.partitions.get(asked.partition or "")
    where = f"partition '{asked.partition}' of {place.name}" if partition else place.name
    caps = _stricter(partition, place.cluster.limits)
    if caps.time is not None and hours(asked.time) > hours(caps.time):
        message = f"{where} ends jobs after {caps.time}; resources '{name}' ask for {asked.time}"
        yield place.wrong(("resources", name, "time"), message, "ask for less time, or name another partition")
    hint = "ask for less, or name another partition"
    times = f"{asked.nodes} x " if asked.nodes > 1 else ""
    for field, most, wanted in (("cpus", caps.cpus, asked.cpus), ("gpus", caps.gpus, asked.gpus)):
        if most is not None and asked.nodes * wanted > most:
            message = f"{where} gives one user {most} {field.upper()[:3]}s; resources '{name}' ask for {times}{wanted}"
            yield place.wrong(("resources", name, field), message, hint)
    if caps.mem is not None and asked.mem != "0" and asked.nodes * size(asked.mem) > size(caps.mem):
        message = f"{where} gives one user {caps.mem} of memory; resources '{name}' ask for {times}{asked.mem}"
        yield place.wrong(("resources", name, "mem"), message, hint)


def _stricter(partition: Caps | None, general: Caps) -> Caps:
    """A partition's own limits, and the cluster's where it has none."""
    own = {name: value for name, value in partition.model_dump().items() if value is not None} if partition else {}
    return Caps(**{**{name: getattr(general, name) for name in Caps.model_fields}, **own})


def beyond_quota(place: Place, stored: float) -> Iterator[Diagnostic]:
    """The checkpoints of all jobs, in bytes, against what one user may store."""
    if place.cluster.quota is not None and stored > size(place.cluster.quota):
        may = f"one user may store {place.cluster.quota} on {place.name}"
        message = f"the plan's checkpoints take about {shown_size(stored)}; {may}"
        hint = "keep fewer checkpoints, drop cells, or give the cluster a store with more room"
        yield Diagnostic(place.asked, message, hint)


def gpu_memory(cluster: Cluster, job: Job) -> float | None:
    """Bytes of one of a job's GPUs; None where it has none, or of a kind that nothing is known of."""
    kind = cluster.gpus.get(str(job.resources["gpu"])) if job.resources["gpus"] else None
    return kind.gigabytes * GB if kind else None


def beyond_gpus(place: Place, job: Job, model: Model, found: Need) -> Iterator[Diagnostic | Remark]:
    """A job that cannot run on its GPUs, or likely runs out of their memory."""
    resources, of_each = job.resources, gpu_memory(place.cluster, job)
    if job.backend == "vllm" and resources["gpus"]:
        yield from _too_few_to_sample(place, job)
    if of_each is None:
        return
    if job.backend == "vllm":
        yield from _too_little_to_sample(place, job, model, found, of_each * share(job))
    elif found.gpu_least > of_each:
        needs = f"{job.what} of {model.name} needs {found.gpu_least / GB:.1f} GB on each GPU, however it is laid out"
        has = f"resources '{resources['class']}' give {resources['nodes'] * resources['gpus']} x {of_each / GB:g} GB"
        hint = "ask for more GPUs or larger ones, train an adapter, or lower what the algorithm keeps (precision, offload)"
        yield place.wrong(("resources", resources["class"], "gpus"), f"{needs}; {has}", hint)
    elif found.gpu_whole > of_each:
        text = f"takes about {found.gpu_whole / GB:.1f} GB of each GPU's {of_each / GB:g} GB ({shown(found.gpu)})"
        yield Remark(f"gpu {job.backend} {resources['class']} {model.name}", job.id, text, found.gpu_whole)


def _too_few_to_sample(place: Place, job: Job) -> Iterator[Diagnostic]:
    """vLLM waits for ever for GPUs that its job does not have."""
    copies, there = job.execution["tensor_parallel"], job.resources["gpus"]
    if copies > there:
        message = f"'tensor_parallel' wants {copies} GPUs; resources '{job.resources['class']}' give {there}"
        yield Diagnostic(place.execution(job.id).at(("tensor_parallel",)), message, "lower it, or ask for more GPUs")


def _too_little_to_sample(place: Place, job: Job, model: Model, found: Need, there: float) -> Iterator[Diagnostic]:
    """vLLM refuses to begin when one answer of full length does not fit beside the weights."""
    copies, at = job.execution["tensor_parallel"], place.execution(job.id)
    if found.gpu_least > there:
        weights = memory.HALF * model.parameters
        room, longest = (copies * found.gpu_least - weights) / GB, job.execution["max_model_len"]
        message = (
            f"{model.name} does not fit: its weights take {weights / GB:.1f} GB of the {copies * there / GB:.1f} GB that vLLM "
            f"may use; to write {longest:,} tokens it needs {room:.1f} GB more"
        )
        hint = "raise tensor_parallel and the GPUs of its resources, take larger GPUs, or lower max_model_len"
        yield Diagnostic(at.at(("tensor_parallel",)), message, hint)


def beyond_node(place: Place, job: Job, model: Model, found: Need) -> Iterator[Remark]:
    """A job that likely needs more of a node's memory than its class asks for."""
    asked, name = str(job.resources["mem"]), job.resources["class"]
    if asked == "0" or place.cluster.executor == "local":
        return
    if found.node > size(asked):
        text = f"takes about {shown_size(found.node)} of the node's memory, and resources '{name}' ask for {asked}"
        yield Remark(f"node {job.backend} {name} {model.name}", job.id, text, found.node)
