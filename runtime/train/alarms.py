"""Alarms of a training that samples: what its own log says about a reward that teaches nothing, or is being cheated.

Four things, each told from the entries of `train_log.jsonl` alone:

- `no_spread`: in most groups all answers have one reward, so that nothing can be learned from them;
- `jump`: the accuracy of the samples rises or falls between two entries by more than training explains;
- `at_the_cap`: most answers are cut off at the length that they may have;
- `no_number`: VeRL leaves out an update whose loss or gradient is no finite number, and trains on (other trainers end there).

They end no training, since each has an innocent reading (the task is learned, the cap is short); they say where to look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

REWARD, NO_SPREAD, CLIPPED = "reward", "frac_reward_zero_std", "completions/clipped_ratio"
WATCHED = (REWARD, NO_SPREAD, CLIPPED)
MOST_WITHOUT_SPREAD = 0.9  # share of groups
MOST_CLIPPED = 0.5  # share of answers
LARGEST_JUMP = 0.3  # of a mean reward between 0 and 1
FINITE = ("loss", "grad_norm")  # null where it is none

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Alarm:
    """One kind of alarm: the steps of the first and the last entry that raised it, how many did, and the worst value
    (of `no_number`, 1)."""

    kind: str
    first_step: int
    last_step: int
    entries: int
    value: float

    @property
    def said(self) -> str:
        """In words, with what to look at."""
        often = f"{self.entries} times, steps {self.first_step} to {self.last_step}"
        when = f"at step {self.first_step}" if self.entries == 1 else often
        return f"{SAID[self.kind].format(self.value)} ({when}); {LOOK[self.kind]}"


SAID = {
    "no_spread": "{:.0%} of the groups have one reward for all answers",
    "jump": "the samples' accuracy moves by {:+.0%} between two log entries",
    "at_the_cap": "{:.0%} of the answers are cut off at their longest",
    "no_number": "loss or gradient is no finite number, so that an update is left out",
}
LOOK = {
    "no_spread": "is the task learned, out of reach, or the grader cheated?",
    "jump": "read samples: is the grader cheated, or did training diverge?",
    "at_the_cap": "raise the cap, or see whether answers ramble",
    "no_number": "lower lr or grad_clip",
}


def find_alarms(history: Sequence[Entry]) -> list[Alarm]:
    """The alarms of a training log, in the order of their first entries; an entry without a metric raises none of it."""
    raised = {
        "no_spread": _at_least(history, NO_SPREAD, MOST_WITHOUT_SPREAD),
        "jump": _jumps(history),
        "at_the_cap": _at_least(history, CLIPPED, MOST_CLIPPED),
        "no_number": [(int(entry["step"]), 1.0) for entry in history if any(entry.get(name, 0) is None for name in FINITE)],
    }
    found = [_alarm(kind, entries) for kind, entries in raised.items() if entries]
    return sorted(found, key=lambda alarm: alarm.first_step)


def samples(history: Sequence[Entry]) -> bool:
    """Whether the log is of a training that samples, so that no alarm means that all was well."""
    return any(name in entry for entry in history for name in WATCHED)


def as_facts(history: Sequence[Entry]) -> list[dict[str, Any]]:
    """The alarms as a done-marker records them."""
    return [asdict(alarm) for alarm in find_alarms(history)]


def _alarm(kind: str, entries: Sequence[tuple[int, float]]) -> Alarm:
    worst = max((value for _, value in entries), key=abs)
    return Alarm(kind, entries[0][0], entries[-1][0], len(entries), worst)


def _at_least(history: Sequence[Entry], name: str, limit: float) -> list[tuple[int, float]]:
    return [(int(entry["step"]), float(entry[name])) for entry in history if name in entry and float(entry[name]) >= limit]


def _jumps(history: Sequence[Entry]) -> list[tuple[int, float]]:
    rewarded = [(int(entry["step"]), float(entry[REWARD])) for entry in history if REWARD in entry]
    moves = [(step, after - before) for (_, before), (step, after) in pairwise(rewarded)]
    return [(step, move) for step, move in moves if abs(move) >= LARGEST_JUMP]
