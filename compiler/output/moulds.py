"""What many jobs' files have in common, rendered once: configs with holes for numbers, and the lines that start a job."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from compiler.backends import Part
from compiler.backends.complete import Laid, told
from compiler.lower.alike import HOLE, Family, with_holes
from compiler.plan.plan import Job
from compiler.text import yaml_flow

Said = Callable[[tuple[str, ...]], str]


@dataclass(frozen=True)
class ConfigMould:
    """The text of a config with holes, as `%` fills it: for numbers, and for `lines` whose sources are those of a number."""

    text: str
    lines: Mapping[str, Laid]

    def words(self, values: Mapping[str, Any], said: Said) -> dict[str, str]:
        """What fills the holes for a job with these numbers."""
        words = {name: yaml_flow(value) for name, value in values.items()}
        lines = {name: told((Laid(laid.text % words, laid.line),), said) for name, laid in self.lines.items()}
        return {**words, **lines}


def config_mould(
    part: Part, settings: Mapping[str, Any], execution: Mapping[str, Any], family: Family, said: Said
) -> ConfigMould | None:
    """What the config files of a family's jobs with this execution have in common. `settings` are those of one of them, and
    `said` its sources. None where they differ in more than their holes."""
    text, lines = [], dict[str, Laid]()
    for number, laid in enumerate(part.lay_out(with_holes(settings, family.names), execution)):
        if any(named in family.names for group, named, *_ in laid.line.settings if group == "settings"):
            lines[f"line {number}"] = Laid(_holed(laid.text, family.names), laid.line)
            text.append(f"%(line {number})s")
        else:
            text.append(_holed(laid.text, family.names) + told((Laid("", laid.line),), said).replace("%", "%%"))
    made = ConfigMould("".join(text), lines)
    whole = told(part.lay_out(settings, execution), said)
    return made if made.text % made.words(family.numbers_of(settings), said) == whole else None


def _holed(text: str, names: Iterable[str]) -> str:
    """A text with words for numbers, as `%` fills it."""
    text = text.replace("%", "%%")
    for name in sorted(names, key=len, reverse=True):  # one name may begin with another
        text = text.replace(HOLE + name, f"%({name})s")
    return text


class _Whole(Exception):
    """Something read values in another way than one by one."""


class _Watched(Mapping[str, Any]):
    """Values that note in `read` the names of those that are read, and refuse to be read as a whole."""

    def __init__(self, values: Mapping[str, Any], read: set[str]) -> None:
        self._values, self._read = values, read

    def __getitem__(self, name: str) -> Any:
        self._read.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        raise _Whole

    def __len__(self) -> int:
        raise _Whole

    def __str__(self) -> str:
        raise _Whole

    __repr__ = __str__


class Launches:
    """The lines that start each job. They depend on what their template reads: jobs that have the same of that share them."""

    def __init__(self) -> None:
        self._known: dict[tuple[Hashable, ...], dict[tuple[str, ...], dict[str, str]]] = {}

    def text(self, part: Part, job: Job) -> str:
        """The lines of a job."""
        known = self._known.setdefault((part.backend, part.what, id(job.execution)), {})
        for names, texts in known.items():
            found = texts.get(_values(job, names))
            if found is not None:
                return found
        settings, own = set[str](), set[str]()
        try:
            text = part.render_launch(_Watched(job.settings, settings), job.execution, _Watched(_shown(job), own))
        except _Whole:
            return part.render_launch(job.settings, job.execution, _shown(job))
        names = (*sorted(f"settings.{name}" for name in settings), *sorted(f"job.{name}" for name in own))
        if not own & {"id", "name"}:  # which no other job has
            known.setdefault(names, {})[_values(job, names)] = text
        return text


def _values(job: Job, names: tuple[str, ...]) -> str:
    """The named values of a job, so that equal words are equal values of the same types."""
    return repr([getattr(job, name[4:], ...) if name.startswith("job.") else job.settings.get(name[9:], ...) for name in names])


def _shown(job: Job) -> dict[str, Any]:
    """What a launch template sees of a job."""
    return {"id": job.id, "kind": job.kind, "name": job.name, "cell": job.cell, "resources": job.resources}
