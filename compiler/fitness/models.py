"""The model behind each job of a plan: what was fetched at the beginning of the chain that leads to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compiler.language.catalog import Catalog
from compiler.language.definitions import Scale, Shape, Teacher
from compiler.plan.plan import Job

BACK = ("start", "model", "shards", "adapter", "run")  # inputs that a checkpoint goes on from, or is read by


@dataclass(frozen=True)
class Model:
    """A hub model in numbers, by the name of its scale or of the teacher; whether it thinks before it answers."""

    name: str
    parameters: float
    shape: Shape | None
    thinks: bool = False


def models_of(catalog: Catalog, jobs: Sequence[Job]) -> Mapping[str, Model]:
    """The model of every job that has one whose size the catalog knows. `jobs` stand after what they read."""
    known, found = _known(catalog), dict[str, Model]()
    for job in jobs:
        if job.kind == "fetch" and (job.settings["hub"], job.settings["revision"]) in known:
            model = known[job.settings["hub"], job.settings["revision"]]
            prompt = job.settings.get("prompt") or {}
            found[job.id] = Model(model.name, model.parameters, model.shape, bool(prompt.get("thinking")))
        else:
            inputs = {edge.name: edge.job for edge in job.inputs}
            before = next((found[inputs[name]] for name in BACK if inputs.get(name) in found), None)
            found |= {job.id: before} if before else {}
    return found


def _known(catalog: Catalog) -> dict[tuple[str, str], Model]:
    """Every hub model at a revision that the catalog gives the size of."""
    found: dict[tuple[str, str], Model] = {}
    for (_, name), entry in catalog.models.items():
        if isinstance(entry, Teacher) and entry.parameters:
            found[entry.hub, entry.revision] = Model(name, entry.parameters, entry.shape)
        elif isinstance(entry, Scale):
            starts = [(start.hub, start.revision) for start in entry.starts.values()]
            model = Model(name, entry.parameters, entry.shape)
            found |= {(hub, revision): model for hub, revision in starts if hub and revision}
    return found
