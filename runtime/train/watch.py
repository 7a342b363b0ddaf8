"""What watches a training: progress for people, the history for `train_log.jsonl`, alarms, and what ends it early."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from runtime.errors import JobError
from runtime.job import Job
from runtime.train.alarms import find_alarms

SHOWN = ("loss", "reward", "rewards/accuracies", "grad_norm")
GO_ON, TIME_IS_UP, WITHDRAWN = 0, 1, 2
STOP_SIGNALS = {signal.SIGUSR1: TIME_IS_UP, signal.SIGTERM: WITHDRAWN}


class Watch(TrainerCallback):
    """Reports each step, keeps every log entry in `history`, ends the training on a stop signal or a loss that is no number.

    An alarm is printed when it first occurs. `stop_asked` says whether a stop was asked for, and by whom.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.history: list[dict[str, Any]] = []
        self.stop_asked = GO_ON
        self.alarmed: set[str] = set()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Take up the entries of the attempts before, when training goes on from a checkpoint."""
        self.history[:] = [dict(entry) for entry in state.log_history]
        self.alarmed = {alarm.kind for alarm in find_alarms(self.history)}

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Keep the entry `given["logs"]`. Raises JobError when the loss or the gradient is not a finite number."""
        logs: dict[str, Any] = given["logs"]
        self.history.append({"step": state.global_step, **logs})
        for name in ("loss", "grad_norm"):
            if name in logs and not math.isfinite(float(logs[name])):
                raise JobError(f"{name} is {logs[name]} at step {state.global_step}; lower lr or grad_clip")
        if state.is_world_process_zero:
            self._tell_alarms()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> TrainerControl:
        """Show progress; once a stop was asked for, have a checkpoint written and the loop left."""
        if state.is_world_process_zero:
            self.job.progress(state.global_step, state.max_steps, **self._latest())
        if self._all_stop(args):
            control.should_save = control.should_training_stop = True
        return control

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """While inside, SIGTERM (somebody ends it) and SIGUSR1 (time is nearly up) ask for a stop after the current step."""
        previous = {number: signal.signal(number, self._ask_stop) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _all_stop(self, args: TrainingArguments) -> bool:
        """Whether any process was asked to stop: a signal reaches them at different steps, and they must leave together."""
        if args.world_size > 1:
            asked = torch.tensor(self.stop_asked, device=args.device)
            torch.distributed.all_reduce(asked, torch.distributed.ReduceOp.MAX)
            self.stop_asked = int(asked.item())
        return self.stop_asked != GO_ON

    def _tell_alarms(self) -> None:
        """Print the alarms that are new."""
        for alarm in find_alarms(self.history):
            if alarm.kind not in self.alarmed:
                self.alarmed.add(alarm.kind)
                print(f"ALARM {self.job.id}: {alarm.said}", flush=True)

    def _ask_stop(self, number: int, frame: FrameType | None) -> None:
        self.stop_asked = max(self.stop_asked, STOP_SIGNALS[signal.Signals(number)])

    def _latest(self) -> dict[str, float]:
        entry = self.history[-1] if self.history else {}
        return {name: float(entry[name]) for name in SHOWN if name in entry}
