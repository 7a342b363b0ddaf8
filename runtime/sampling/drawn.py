"""The ledger of a sampling: each answer is written down once it is drawn, so that a job that was killed goes on from there.

One JSON line an answer, below a first line that says what was asked: `{"item", "id", "copy", "text", "finished"}`, and `failed`
with the reason where there is no answer. `item` counts all answers of the job, row after row.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.data.rows import Row
from runtime.job import write_text
from runtime.sampling import Sample

SECONDS_BETWEEN_SYNCS = 1.0  # a killed process loses nothing of what it wrote, a machine that goes down this much


@dataclass
class Drawn:
    """The answers there are, by item, and the file that further ones are added to."""

    answers: dict[int, Sample]
    rows: Sequence[Row]
    samples: int
    path: Path
    synced: float = 0.0

    def add(self, drawn: Mapping[int, Sample]) -> None:
        """Write answers down, by item: all lines at once, and on the disk within a second of the last time."""
        self.answers.update(drawn)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(self.lines(drawn))
            file.flush()
            if time.monotonic() - self.synced > SECONDS_BETWEEN_SYNCS:
                os.fsync(file.fileno())
                self.synced = time.monotonic()

    def missing(self) -> list[int]:
        """The items that have no answer yet."""
        return [item for item in range(len(self.rows) * self.samples) if item not in self.answers]

    def lines(self, drawn: Mapping[int, Sample]) -> str:
        """The lines of answers, by item."""
        return "".join(json.dumps({**self._names(item), **_said(answer)}) + "\n" for item, answer in drawn.items())

    def _names(self, item: int) -> dict[str, Any]:
        return {"item": item, "id": self.rows[item // self.samples]["id"], "copy": item % self.samples}


def open_ledger(path: Path, asked: str, rows: Sequence[Row], samples: int, whole: int) -> Drawn:
    """The ledger at `path` of `samples` answers to each row, with what an earlier attempt wrote.

    What it asked otherwise (`asked` is the hash of the prompts) does not count, and of batches of `whole` answers only those
    that are whole: the rest is drawn in the same batches as without a stop. What failed is asked again.
    """
    head = json.dumps({"asked": asked, "samples": samples}) + "\n"
    written = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    lines = _lines(written[len(head) :]) if written.startswith(head) else []
    if len(lines) < len(rows) * samples:
        lines = lines[: len(lines) // whole * whole]
    made = Drawn({}, rows, samples, path)
    kept = {line["item"]: Sample(line["text"], line["finished"]) for line in lines if "failed" not in line}
    write_text(path, head + made.lines(kept))
    made.answers.update(kept)
    return made


def _lines(written: str) -> list[dict[str, Any]]:
    """The lines up to the first that is torn."""
    found = []
    for line in written.split("\n")[:-1]:
        try:
            entry = json.loads(line)
        except ValueError:
            break
        if not isinstance(entry, dict):
            break
        found.append(entry)
    return found


def _said(answer: Sample) -> dict[str, Any]:
    failed = {"failed": answer.failed} if answer.failed else {}
    return {"text": answer.text, "finished": answer.finished, **failed}
