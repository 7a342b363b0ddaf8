"""What each cell of a compiled study goes through: values of axes, suites, backends, kinds of jobs, and lines of templates."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from compiler.backends import environment, template_name
from compiler.output.emit import config_text, script
from compiler.pipeline import Compiled
from compiler.plan.plan import Job, PlannedCell
from compiler.plan.sharing import needs

Mark = tuple[str, str]  # what sort of thing, and which: ("axis", "method=on_rl"), ("line", "backends/trl/sft.yaml.j2:12")


def coverage(compiled: Compiled) -> dict[str, frozenset[Mark]]:
    """What each cell goes through, by cell."""
    plan = compiled.plan
    of_job = _by_job(compiled)
    needed = needs(plan.cells, plan.jobs)
    return {cell.id: frozenset(_own(cell)).union(*(of_job[job] for job in needed[cell.id])) for cell in plan.cells}


def _own(cell: PlannedCell) -> Iterator[Mark]:
    yield from (("axis", f"{axis}={value}") for axis, value in cell.axes.items())
    yield from (("suite", suite) for suite in (*cell.after, *cell.divergence))
    if cell.points:
        yield "checkpoints", "along the way"
    if cell.relearned:
        yield "checkpoints", "relearned"


def _by_job(compiled: Compiled) -> dict[str, frozenset[Mark]]:
    """What each job goes through. Jobs that take the same branches are rendered once."""
    found: dict[str, frozenset[Mark]] = {}
    known: dict[Any, frozenset[Mark]] = {}
    for job in compiled.plan.jobs:
        form = (job.kind, job.backend, job.what, job.environment, len(job.inputs), *map(_form, _seen(job)))
        if form not in known:
            known[form] = frozenset([("kind", job.kind), ("backend", f"{job.backend} {job.what}"), *_lines(compiled, job)])
        found[job.id] = known[form]
    return found


def _seen(job: Job) -> list[Any]:
    """What the templates see of a job and may branch on."""
    return [job.settings, job.execution, job.resources, job.cell is None]


def _form(value: Any) -> Any:
    """A value as far as branches tell: of a number only whether it is 0, 1 or another one."""
    if isinstance(value, Mapping):
        return tuple((key, _form(item)) for key, item in sorted(value.items()))
    if isinstance(value, list | tuple):
        return tuple(sorted({repr(_form(item)) for item in value}))
    if isinstance(value, bool) or value is None:
        return value
    return (value > 0) + (value > 1) if isinstance(value, int | float) else str(value)


def _lines(compiled: Compiled, job: Job) -> list[Mark]:
    """The lines of templates that the job's config and script are rendered from."""
    reached = _traced(lambda: script(compiled.plan, job, compiled.cluster, compiled.tracking, config_text(job)))
    lines = {(name, environment().get_template(name).get_corresponding_lineno(number)) for name, number in reached}
    return [("line", f"{name}:{number}") for name, number in sorted(lines)]


def _traced(work: Callable[[], object]) -> set[tuple[str, int]]:
    """The lines of compiled templates that `work` runs, as Python counts them, by template."""
    found: set[tuple[str, int]] = set()
    names: dict[str, str] = {}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.endswith(".j2"):
            return None
        name = names.setdefault(file, template_name(Path(file)))
        found.add((name, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return found
