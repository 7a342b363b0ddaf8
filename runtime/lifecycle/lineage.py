"""What happened in the samplings and trainings that an artifact comes from: it travels from done-marker to done-marker.

So data carry how often the teacher was right and with which prompts it was asked, checkpoints how they were trained and what
alarmed, and scores all of that: who reads scores need not search for the trainings behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from runtime.job import Input
from runtime.store import markers
from runtime.store.markers import Marker

# Of each kind of job that tells something, the facts that travel.
TRAVEL: Mapping[str, tuple[str, ...]] = {
    "generate": ("prompt_hash", "prompt_form", "prompts", "samples", "pass_rate", "any_pass_rate", "clip_rate", "failures"),
    "train": ("prompt_hash", "prompt_form", "alarms"),
}
ASIDE = frozenset({"scores", "report", "environment"})  # read for comparison; nothing is made of them

Entry = Mapping[str, Any]


def of(inputs: Mapping[str, Input]) -> tuple[Entry, ...]:
    """What the inputs, by name, carry and what they are themselves, each job once.

    `side` is "model" where weights were handed on, "data" where a job only had a part in what was trained on.
    """
    found: dict[str, Entry] = {}
    for name, item in sorted(inputs.items(), key=lambda pair: _side(*pair), reverse=True):
        marker = None if item.type in ASIDE else markers.read(item.path)
        for entry in () if marker is None else (*marker.lineage, *_own(marker)):
            side = min(_side(name, item), str(entry.get("side", "model")))
            found.setdefault(str(entry["job"]), {**entry, "side": side})
    return tuple(found.values())


def _side(name: str, item: Input) -> str:
    """What an input hands on; "data" comes before "model"."""
    return "model" if item.type.startswith("checkpoint.") and name != "teacher" else "data"


def _own(marker: Marker) -> Iterable[Entry]:
    """A sampling's or a training's own entry."""
    if marker.kind in TRAVEL:
        facts = {name: marker.facts[name] for name in TRAVEL[marker.kind] if name in marker.facts}
        yield {"job": marker.job, "kind": marker.kind, **facts}
