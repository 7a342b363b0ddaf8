"""What the answers of Slurm's programs mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from compiler.probe.ask import Answers

_GPU = re.compile(r"(?:^|,)gpu(?::(?P<kind>[^:,()]+?))?:(?P<count>\d+)(?=[,(]|$)")
_CONFIG = re.compile(r"(?m)^(\w+)\s*= (.*?)\s*$")
UNLIMITED = ("infinite", "UNLIMITED", "n/a")


@dataclass(frozen=True)
class Partition:
    """One partition: its time limit (None: none), and the largest of its nodes. `gpus` is the most of each kind on a node."""

    name: str
    is_default: bool
    time: str | None
    nodes: int
    cpus: int
    megabytes: int
    gpus: Mapping[str, int]


@dataclass(frozen=True)
class Facts:
    """What is known of a cluster. None and empty: Slurm does not say, or there is no such limit."""

    name: str
    version: str
    partitions: tuple[Partition, ...]
    accounts: tuple[str, ...]
    submitted: int | None
    array_size: int | None
    job_count: int | None
    kills_invalid: bool
    requeues: bool
    qos: Mapping[str, str]


def facts_of(answers: Answers) -> Facts:
    """The facts in Slurm's answers; what cannot be read is left out."""
    config = dict(_CONFIG.findall(answers.config))
    associations = [line.split("|") for line in answers.associations.splitlines() if line.count("|") == 3]
    caps = [int(row[2]) for row in associations if row[2].isdecimal()]
    return Facts(
        name=config.get("ClusterName", "cluster"),
        version=config.get("SLURM_VERSION", ""),
        partitions=tuple(_partitions(answers.nodes)),
        accounts=tuple(dict.fromkeys(row[0] for row in associations if row[0])),
        submitted=min(caps, default=None),
        array_size=_count(config.get("MaxArraySize", "")),
        job_count=_count(config.get("MaxJobCount", "")),
        kills_invalid="kill_invalid_depend" in config.get("DependencyParameters", ""),
        requeues=config.get("JobRequeue", "1") == "1",
        qos={
            row[0]: ", ".join(filter(None, row[1:]))
            for row in (x.split("|") for x in answers.qos.splitlines())
            if len(row) == 4
        },
    )


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _partitions(text: str) -> Iterator[Partition]:
    """sinfo has a line for each kind of node in a partition; of several, the largest numbers count."""
    rows: dict[str, list[list[str]]] = {}
    for row in (line.split("|") for line in text.splitlines()):
        if len(row) == 6:
            rows.setdefault(row[0], []).append(row)
    for name, kinds in rows.items():
        yield Partition(
            name=name.rstrip("*"),
            is_default=name.endswith("*"),
            time=None if kinds[0][1] in UNLIMITED else kinds[0][1],
            nodes=sum(_number(row[2]) for row in kinds),
            cpus=max(_number(row[3]) for row in kinds),
            megabytes=max(_number(row[4]) for row in kinds),
            gpus=_gpus([row[5] for row in kinds]),
        )


def _number(text: str) -> int:
    """A number as sinfo writes it: 64, or 64+ for at least so many."""
    found = re.match(r"\d+", text)
    return int(found[0]) if found else 0


def _gpus(texts: list[str]) -> dict[str, int]:
    """The most GPUs of each kind on a node, from gres such as gpu:a100:4(S:0-1),gpu:2; "" is one without a name."""
    found: dict[str, int] = {}
    for text in texts:
        for match in _GPU.finditer(text):
            kind = match["kind"] or ""
            found[kind] = max(found.get(kind, 0), int(match["count"]))
    return found
