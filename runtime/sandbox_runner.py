"""The far side of the sandbox: reads a batch from stdin, runs each program in a forked child, prints a line for each.

Standard library only, and few modules of it: this starts cold for every batch. The modules imported here are those that
programs may import, because a child can open no file.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import heapq
import itertools
import json
import math
import os
import re
import resource
import select
import signal
import string
import sys
import time
import typing

PRELOADED = (collections, functools, heapq, itertools, math, re, string, typing)
LARGEST_RESULT = 1 << 16
MEBIBYTE = 1 << 20


def main() -> None:
    """Answer `{"programs": [{"source", "calls"}], "seconds", "mebibytes"}` with lines `[index, [repr, …] or null]`."""
    request = json.load(sys.stdin)
    compile("0", "<warm>", "eval")
    for index, program in enumerate(request["programs"]):
        result = run_forked(program["source"], program["calls"], request["seconds"], request["mebibytes"])
        print(json.dumps([index, result]), flush=True)


def run_forked(source: str, calls: list[str], seconds: int, mebibytes: int) -> list[str] | None:
    """Run one program in a child of its own; None unless it gave the `repr` of every call in time."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        run_child(source, calls, writing, seconds, mebibytes)
    os.close(writing)
    try:
        return _decode(_read_all(reading, time.monotonic() + seconds + 0.5))
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)


def run_child(source: str, calls: list[str], writing: int, seconds: int, mebibytes: int) -> None:
    """In the child: limit ourselves, run, write the results as JSON to `writing`, and leave without any clean-up."""
    try:
        limit_resources(writing, seconds, mebibytes)
        names: dict[str, object] = {"__name__": "program"}
        exec(compile(source, "<program>", "exec"), names)
        results = [repr(eval(call, names)) for call in calls]
        os.write(writing, json.dumps(results).encode()[: LARGEST_RESULT + 1])
    finally:
        os._exit(0)


def limit_resources(writing: int, seconds: int, mebibytes: int) -> None:
    """Silence the program and take away files, sockets, forks, core dumps, and more than its time and memory."""
    os.setsid()
    silence = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(silence, standard)
    os.set_blocking(writing, False)
    limits = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: _own_bytes() + mebibytes * MEBIBYTE,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 0,
    }
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))


def _own_bytes() -> int:
    """Address space of this interpreter, where the system tells it."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - pathlib would double the start-up time
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _read_all(reading: int, deadline: float) -> bytes:
    received = b""
    while len(received) <= LARGEST_RESULT:
        ready, _, _ = select.select([reading], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(reading, LARGEST_RESULT) if ready else b""
        if not chunk:
            return received if ready else b""
        received += chunk
    return b""


def _decode(received: bytes) -> list[str] | None:
    try:
        value = json.loads(received)
    except ValueError:
        return None
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


if __name__ == "__main__":
    main()
