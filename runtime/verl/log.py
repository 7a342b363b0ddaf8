"""What VeRL logs while it trains: a file an attempt, read in the names of the other trainers, and laid together.

VeRL's logger `file` (verl 0.9.1, verl/utils/tracking.py, FileLogger) empties the file that VERL_FILE_LOGGER_PATH names
and writes `{"step": N, "data": {NAME: VALUE}}` a line. What is no finite number is null there.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.store import attempts

VARIABLE, FILE = "VERL_FILE_LOGGER_PATH", "metrics.jsonl"

# VeRL's names, of sft_trainer.py, metric_utils.py and engine_workers.py; whatever else it logs stays in its own file.
NAMES: Mapping[str, str] = {
    "train/loss": "loss", "train/grad_norm": "grad_norm", "train/lr": "learning_rate",
    "actor/loss": "loss", "actor/grad_norm": "grad_norm", "actor/lr": "learning_rate", "actor/entropy": "entropy",
    "actor/kl_loss": "kl", "critic/score/mean": "reward", "response_length/mean": "completions/mean_length",
    "response_length/clip_ratio": "completions/clipped_ratio",
}  # fmt: skip
TOLD_AS_NULL = ("loss", "grad_norm")  # of anything else, null is as if nothing were logged
ADVANTAGES = ("critic/advantages/max", "critic/advantages/min")
NO_SPREAD = "frac_reward_zero_std"

Entry = Mapping[str, Any]


@dataclass
class Reader:
    """Reads a file that grows, each line once. With `grouped`, advantages are of groups of answers to one question (GRPO)."""

    file: Path
    grouped: bool
    _read: int = 0
    _broken: list[str] = field(default_factory=list)

    def new_entries(self) -> list[Entry]:
        """The entries of all lines that are whole by now; what is no entry is left out, and said of the first."""
        if not self.file.is_file():
            return []
        with self.file.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        lines = text[: text.rfind(b"\n") + 1]
        self._read += len(lines)
        found = [(line, entry_of(line, grouped=self.grouped)) for line in lines.splitlines()]
        self._tell_broken([line for line, entry in found if entry is None])
        return [entry for _, entry in found if entry is not None]

    def _tell_broken(self, lines: Sequence[bytes]) -> None:
        if lines and not self._broken:
            print(f"{self.file}: left out {lines[0][:80]!r}, which is no entry of VeRL's log", file=sys.stderr, flush=True)
        self._broken += map(repr, lines)


def file_of(out: Path) -> Path:
    """Where the attempt under way logs."""
    return attempts.folder_of_latest(out) / FILE


def entry_of(line: bytes, *, grouped: bool) -> Entry | None:
    """One line in the other trainers' names; None for what is no entry.

    VeRL logs no share of groups without spread. But where every advantage of a step is 0, none of its groups had any.
    """
    try:
        said = json.loads(line)
        step, data = int(said["step"]), dict(said["data"])
    except (ValueError, KeyError, TypeError):
        return None
    named = {NAMES[name]: _number(value) for name, value in data.items() if name in NAMES}
    entry = {name: value for name, value in named.items() if value is not None or name in TOLD_AS_NULL}
    spread = {NO_SPREAD: 1.0} if grouped and all(data.get(name) == 0 for name in ADVANTAGES) else {}
    return {"step": step, **entry, **spread}


def continued(before: Sequence[Entry], own: Sequence[Entry]) -> list[Entry]:
    """The course of a training of which an attempt logged `own` after `before`: what it trained again counts once, its own."""
    first = own[0]["step"] if own else math.inf
    course = {int(entry["step"]): entry for entry in before if entry["step"] < first}
    for entry in own:
        course[int(entry["step"])] = {**course.get(int(entry["step"]), {}), **entry}
    return list(course.values())


def course_of(folders: Sequence[Path], *, grouped: bool) -> list[Entry]:
    """The course of a training in the attempts of these folders, from the first to the last."""
    course: list[Entry] = []
    for folder in folders:
        course = continued(course, Reader(folder / FILE, grouped).new_entries())
    return course


def is_grouped(config: Mapping[str, Any]) -> bool:
    """Whether a training learns from how rewards of a group differ. Distillation only watches them."""
    if (config.get("distillation") or {}).get("enabled"):
        return False
    return (config.get("algorithm") or {}).get("adv_estimator") == "grpo"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
