"""What many jobs' files have in common, rendered once: configs with holes for numbers, and the lines that start a job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from compiler.backends import Part
from compiler.backends.complete import Laid, told
from compiler.lower.alike import HOLE, Family, with_holes
from compiler.plan.plan import Job
from compiler.text import yaml_flow
from compiler.watched import Known

OWN = frozenset({"id", "name"})  # what no other job has
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


class Launches:
    """The lines that start each job. They depend on what their template reads: jobs that have the same of that share them."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int], Known[str]] = {}

    def text(self, part: Part, job: Job) -> str:
        """The lines of a job."""
        key = (part.backend, part.what, id(job.execution))
        known = self._known.get(key)
        if known is None:
            execution = job.execution
            known = self._known[key] = Known(lambda settings, shown: part.render_launch(settings, execution, shown), OWN)
        return known.of(job.settings, _shown(job))


def _shown(job: Job) -> dict[str, Any]:
    """What a launch template sees of a job."""
    return {"id": job.id, "kind": job.kind, "name": job.name, "cell": job.cell, "resources": job.resources}
