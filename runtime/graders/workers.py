"""Helper processes for judgements that must not run here: they may take for ever, or evaluate what a model wrote.

Such libraries keep their time by SIGALRM, which only a process's main thread may use, while trainers reward from many threads.
So each judgement is asked of a helper, by a line of JSON, and has so many CPU seconds, on which a busy machine has no
influence; then the kernel ends the helper, and the answer counts as not given. Helpers start when first asked, are kept, and
end with this process.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from runtime.errors import JobError

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0  # a busy node imports slowly
WALL_SECONDS = 10  # for each CPU second: for what waits instead of working
MOST = 4


class Late(Exception):
    """A helper did not answer in time, or died."""


class Helper:
    """One helper process; used by one thread at a time."""

    def __init__(self, kind: str) -> None:
        # Python's hash seed decides the order of sets, and so what some tasks of reasoning-gym ask.
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": _path(), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "runtime.graders.worker", kind],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
        self._unread = b""
        self.ready = False

    def ask(self, request: Any, seconds: int) -> Any:
        """The answer to a request. Raises Late without one, and JobError with the helper's own message."""
        if not self.ready:
            self._tell(self._line(START_SECONDS))
            self.ready = True
        sending = self._process.stdin
        assert sending is not None
        try:
            sending.write(json.dumps({"request": request, "seconds": seconds}).encode() + b"\n")
            sending.flush()
        except OSError as error:
            raise Late from error
        return self._tell(self._line(WALL_SECONDS * seconds))

    def end(self) -> None:
        """Kill the process and wait for it."""
        self._process.kill()
        self._process.communicate()

    def _tell(self, line: bytes) -> Any:
        answer = json.loads(line)
        if "wrong" in answer:
            raise JobError(answer["wrong"])
        return answer["answer"]

    def _line(self, seconds: float) -> bytes:
        reading, deadline = self._process.stdout, time.monotonic() + seconds
        assert reading is not None
        while b"\n" not in self._unread:
            ready, _, _ = select.select([reading], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(reading.fileno(), 1 << 16) if ready else b""
            if not chunk:
                raise Late
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line


class Helpers:
    """The helpers of one kind in one process: as many as are asked at the same time, up to `most`."""

    def __init__(self, kind: str, most: int) -> None:
        self._kind, self._owner = kind, os.getpid()
        self._free = threading.BoundedSemaphore(most)
        self._idle: list[Helper] = []
        atexit.register(self.end)

    def ask(self, request: Any, seconds: int) -> Any | None:
        """The answer, or None if it took more than `seconds` (not counting a helper's start). Raises JobError as Helper
        does."""
        with self._free:
            helper = self._idle.pop() if self._idle else Helper(self._kind)
            try:
                answer = helper.ask(request, seconds)
            except Late:
                helper.end()
                if not helper.ready:
                    raise JobError(f"grader: its helper {self._kind!r} did not start; is the machine out of memory?") from None
                return None
            except JobError:
                helper.end()
                raise
            self._idle.append(helper)
            return answer

    def end(self) -> None:
        """End the helpers; a forked child leaves those of its parent alone."""
        while self._owner == os.getpid() and self._idle:
            self._idle.pop().end()


def ask(kind: str, request: Any, seconds: int) -> Any | None:
    """What a helper of that kind answers, from any thread; None if it takes more than so many CPU seconds.

    Raises JobError where the helper says that it cannot be asked so: a package that is missing, a row that is broken.
    """
    return _helpers(kind, os.getpid()).ask(request, seconds)


@functools.cache
def _helpers(kind: str, process: int) -> Helpers:
    """Those of this process: a forked child must not write into its parent's pipes."""
    return Helpers(kind, min(MOST, os.cpu_count() or 1))


def _path() -> str:
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
