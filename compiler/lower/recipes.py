"""Recipes: which trainings, in which order, a method on a domain comes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from compiler.diagnostics import Position, spec_error
from compiler.language.catalog import Catalog
from compiler.language.definitions import Domain, Method, Stage
from compiler.language.source import PathKey


@dataclass(frozen=True)
class Source:
    """What one training reads: the rows of a domain, or of several together, or one part of a pool of them.

    `domain` is the definition that says so, `parts` the domains with rows of their own and their shares (None: all of them).
    """

    name: str
    domain: str
    parts: Mapping[str, float | None]
    shard: tuple[int, int] | None = None

    @property
    def plain(self) -> bool:
        return self.shard is None and len(self.parts) == 1


@dataclass(frozen=True)
class Step:
    """One training of a recipe: a stage, where its method defines it, which repetition it is, and what it reads."""

    stage: Stage
    path: PathKey
    round: int
    source: Source
    ends_domain: bool


def sources(catalog: Catalog, domain: str, asked: Position, seen: tuple[str, ...] = ()) -> tuple[Source, ...]:
    """What is trained on one after the other on a domain. Raises SpecError for a combination that makes no sense."""
    found = catalog.get(Domain, domain, asked)
    if domain in seen:
        raise spec_error(asked, f"domains are made of each other in a circle: {' -> '.join([*seen, domain])}")
    if found.sequence:
        places = [catalog.at("domains", domain, ("sequence", number)) for number in range(len(found.sequence))]
        each = zip(found.sequence, places, strict=True)
        return tuple(source for name, at in each for source in sources(catalog, name, at, (*seen, domain)))
    if found.mix:
        return (Source(domain, domain, _parts(catalog, domain, "mix", list(found.mix), dict(found.mix))),)
    if found.iid:
        parts, many = _parts(catalog, domain, "iid", found.iid, dict.fromkeys(found.iid)), len(found.iid)
        return tuple(Source(f"{domain}.part{n}", domain, parts, (n, many)) for n in range(1, many + 1))
    return (Source(domain, domain, {domain: None}),)


def _parts(
    catalog: Catalog, domain: str, field: str, names: Sequence[str], shares: Mapping[str, float | None]
) -> Mapping[str, float | None]:
    """The parts of a mix or of a pool, which must have rows of their own."""
    for number, name in enumerate(names):
        at = catalog.trees["domains", domain].key_at((field, name if field == "mix" else number))
        if catalog.get(Domain, name, at).settings is None:
            message = f"domain '{domain}' mixes rows, and '{name}' has none of its own: it is a combination, too"
            raise spec_error(at, message, "name the domains that it is made of")
        if names.count(name) > 1:
            raise spec_error(at, f"domain '{domain}' names '{name}' twice", "each part once")
    return shares


def steps(method: Method, read: Sequence[Source]) -> Iterator[Step]:
    """Every training in order: all stages on each source, then `finish` on the last one."""
    for source in read:
        yield from _steps("stages", method.stages, source)
    yield from _steps("finish", method.finish, read[-1])


def _steps(field: str, stages: Sequence[Stage], source: Source) -> Iterator[Step]:
    for number, stage in enumerate(stages):
        for turn in range(stage.repeat):
            ends = number == len(stages) - 1 and turn == stage.repeat - 1
            yield Step(stage, (field, number), turn, source, ends)
