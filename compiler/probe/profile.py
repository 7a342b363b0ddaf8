"""A cluster's facts as a definition for the catalog: what is known is written, what is not is a comment that says so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from compiler.probe.facts import Facts, Partition
from compiler.slurm import hours

BASE = "slurm"  # of the catalog: what any Slurm cluster has
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,:-]*")


@dataclass(frozen=True)
class Wish:
    """What a class of jobs would ask for on a large enough cluster: a time limit, CPUs, GB of memory, GPUs."""

    time: str
    cpus: int
    gigabytes: int
    gpus: int


WISHES: Mapping[str, Wish] = {
    "cpu": Wish("3:00:00", 4, 32, 0),
    "gpu": Wish("3:00:00", 4, 32, 1),
    "train": Wish("12:00:00", 8, 64, 2),
    "rl": Wish("2-00:00:00", 8, 64, 2),
    "eval": Wish("3:00:00", 4, 32, 1),
    "teacher": Wish("12:00:00", 8, 64, 2),
    "teacher_large": Wish("12:00:00", 16, 128, 4),
}


def as_name(text: str) -> str:
    """A text as the name of a definition."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text).lstrip("_.-") or "cluster"


def profile(facts: Facts, name: str, has_scratch: bool) -> str:
    """The YAML of a definition `name`, which extends the catalog's generic cluster."""
    return "\n".join([*_head(facts), "clusters:", f"  {name}:", *("    " + line for line in _body(facts, has_scratch)), ""])


def _head(facts: Facts) -> Iterator[str]:
    yield f"# A first profile, from what Slurm says of itself ({facts.version or 'unknown version'}). Look through it: what one"
    yield "# user may have at a time, GPUs' memory, modules, quotas and deletions are for the site's own pages to say."
    yield "# Then name it in a spec, and: lethe validate SPEC"
    if facts.array_size:
        again = "yes" if facts.requeues else "no"
        yield f"# MaxArraySize {facts.array_size}, MaxJobCount {facts.job_count}; jobs are requeued by default: {again}"
    for qos, limits in facts.qos.items():
        if limits:
            yield f"# QOS {qos}: {limits}"


def _body(facts: Facts, has_scratch: bool) -> Iterator[str]:
    yield f"extends: {BASE}"
    yield "about: " + json.dumps(f"{facts.name}, as its Slurm describes itself")
    yield 'store: "$SCRATCH/lethe"' if has_scratch else 'store: "$HOME/lethe"        # there is no $SCRATCH'
    yield from _account(facts)
    yield from _submitted(facts)
    if facts.array_size:
        yield f"# arrays: {{at_once: 20, most: {facts.array_size}}}    # if alike jobs are to go in as arrays, 20 at a time"
    if facts.kills_invalid:
        yield "kill_on_invalid_dep: true    # Slurm does so there in any case"
    yield from _partitions(facts)
    yield from _gpus(facts)
    yield from _resources(facts)


def _account(facts: Facts) -> Iterator[str]:
    usable = [account for account in facts.accounts if _WORD.fullmatch(account)]
    if len(usable) == 1:
        yield f"account: {json.dumps(usable[0])}"
    elif usable:
        yield f"account: null                # one of: {', '.join(usable)}"


def _submitted(facts: Facts) -> Iterator[str]:
    if facts.submitted:
        yield f"limits: {{submitted: {facts.submitted}}}"
    else:
        yield "# how many jobs one user may have in the queue is not known; 1000 is common"


def _partitions(facts: Facts) -> Iterator[str]:
    yield "partitions:"
    for partition in facts.partitions:
        told = f"{partition.nodes} nodes, {partition.cpus} CPUs, {partition.megabytes // 1000} GB" + "".join(
            f", {count} x {kind or 'GPU'}" for kind, count in partition.gpus.items()
        )
        time = f"{{time: {json.dumps(partition.time)}}}" if partition.time else "{}"
        hidden = "" if _NAME.fullmatch(partition.name) else "# "
        yield f"  {hidden}{partition.name}: {time}    # {told}{'; the default' if partition.is_default else ''}"


def _gpus(facts: Facts) -> Iterator[str]:
    kinds = sorted({kind for partition in facts.partitions for kind in partition.gpus if kind})
    if kinds:
        yield "# gpus:                      # their memory tells whether a model fits; Slurm does not know it"
        yield from (f"#   {kind}: {{gigabytes: ?}}" for kind in kinds)


def _resources(facts: Facts) -> Iterator[str]:
    yield "resources:"
    for name, wish in WISHES.items():
        partition = _place(facts, wish)
        if partition is None:
            yield f"  # {name}: no partition has {'GPUs' if wish.gpus else 'nodes'}"
            continue
        kinds = [kind for kind in partition.gpus if kind and _WORD.fullmatch(kind)]
        words = [f"partition: {json.dumps(partition.name)}", f"time: {json.dumps(_time(wish.time, partition))}"]
        words += [f"cpus: {min(wish.cpus, partition.cpus)}", f"mem: {_memory(wish.gigabytes, partition)}"]
        if wish.gpus:
            words += [f"gpus: {min(wish.gpus, max(partition.gpus.values()))}"]
            words += [f"gpu: {json.dumps(kinds[0])}"] if len(kinds) == 1 else []
        yield f"  {name}: {{{', '.join(words)}}}" + (
            f"    # gpu: one of {', '.join(kinds)}" if wish.gpus and len(kinds) > 1 else ""
        )


def _place(facts: Facts, wish: Wish) -> Partition | None:
    """The partition for a class of jobs: one that allows its time before one that does not, and then the default one."""
    fit = [p for p in facts.partitions if p.nodes and (p.gpus or not wish.gpus) and _WORD.fullmatch(p.name)]
    ranked = sorted(fit, key=lambda p: (_time(wish.time, p) != wish.time, not p.is_default))
    return ranked[0] if ranked else None


def _time(wanted: str, partition: Partition) -> str:
    return partition.time if partition.time and hours(partition.time) < hours(wanted) else wanted


def _memory(gigabytes: int, partition: Partition) -> str:
    """So many GB, or all that the largest node has."""
    most = partition.megabytes // 1024
    return f"{min(gigabytes, most)}G" if most else f"{partition.megabytes}M"
