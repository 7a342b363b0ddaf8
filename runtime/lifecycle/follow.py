"""What a training by VeRL tells: progress and alarms while it runs, its course and alarms when it is done.

A thread beside the command reads what VeRL logs. It ends with the command, and nothing that goes wrong in it ends a training.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from runtime.data.rows import write_rows
from runtime.job import SECONDS_BETWEEN_LINES, Job
from runtime.launch.child import PASSED_ON
from runtime.store import attempts
from runtime.train import alarms
from runtime.verl import checkpoint, log

LOOK = SECONDS_BETWEEN_LINES  # between two looks at the file; more would show no more
PATIENCE = 10.0  # seconds for the last look, when the command has ended
SHOWN = ("loss", "reward", "grad_norm")
COURSE = "train_log.jsonl"


@contextmanager
def followed(job: Job) -> Iterator[Mapping[str, str]]:
    """While inside, what VeRL logs into the file that it is told by the given environment is shown."""
    ended = threading.Event()
    thread = threading.Thread(target=_follow, args=(job, ended), daemon=True)
    thread.start()
    try:
        yield {log.VARIABLE: str(log.file_of(job.out))}
    finally:
        ended.set()
        thread.join(PATIENCE)


def close(job: Job) -> Mapping[str, Any]:
    """Write the course of all attempts to `train_log.jsonl`; the facts are its alarms, where there could have been one."""
    course = log.course_of(attempts.folders(job.out), grouped=log.is_grouped(job.config))
    if course:
        write_rows(job.out / COURSE, course)
    found = alarms.as_facts(course)
    return {"alarms": found} if found or alarms.samples(course) else {}


@dataclass
class Follower:
    """Shows what the attempt under way adds to `before`, the course of the earlier ones, whose alarms were told."""

    job: Job
    reader: log.Reader
    before: list[log.Entry]
    alarmed: set[str]
    own: list[log.Entry] = field(default_factory=list)

    def look(self) -> None:
        """Show what is new: progress, and alarms that there were not yet."""
        new = self.reader.new_entries()
        if not new:
            return
        self.own += new
        self._tell_alarms()
        latest = self.own[-1]
        shown = {name: latest[name] for name in SHOWN if latest.get(name) is not None}
        self.job.progress(latest["step"], self._planned, **shown)

    def _tell_alarms(self) -> None:
        for alarm in alarms.find_alarms(log.continued(self.before, self.own)):
            if alarm.kind not in self.alarmed:
                self.alarmed.add(alarm.kind)
                print(f"ALARM {self.job.id}: {alarm.said}", flush=True)

    @cached_property
    def _planned(self) -> int:
        inputs = self.job.inputs
        rows = checkpoint.rows_trained_on(self.job.config, inputs["data"].path / "train.parquet", inputs["start"].path)
        return checkpoint.planned_updates(self.job.config, rows)


def _follower(job: Job) -> Follower:
    grouped = log.is_grouped(job.config)
    *earlier, _ = attempts.folders(job.out)
    before = log.course_of(earlier, grouped=grouped)
    return Follower(job, log.Reader(log.file_of(job.out), grouped), before, {each.kind for each in alarms.find_alarms(before)})


def _follow(job: Job, ended: threading.Event) -> None:
    """Look until the command has ended, and once more. What goes wrong is said once: it is no reason to end a training."""
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # the thread that waits for the command hears them
    follower: Follower | None = None
    told = False
    while True:
        last = ended.is_set()
        try:
            follower = follower or _follower(job)
            follower.look()
        except Exception as error:
            if not told:
                print(f"{job.id}: what VeRL logs cannot be shown ({error}); it trains on", file=sys.stderr, flush=True)
            told = True
        if last:
            return
        ended.wait(LOOK)
