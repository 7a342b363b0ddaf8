"""The far side of the sandbox: reads a batch from stdin, runs each program in forked children, prints a line for each.

Standard library only, and few modules of it: this starts cold for every batch. The modules imported here are those that
programs may import, because a child can open no file. `python -I -S` runs it, so it has to say where its own half is.
"""

from __future__ import annotations

import _strptime  # type: ignore[import-not-found]
import array
import ast
import bisect
import builtins
import cmath
import collections
import contextlib
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import heapq
import io
import itertools
import json
import math
import numbers
import operator
import os
import queue
import random
import re
import select
import signal
import statistics
import string
import sys
import threading
import time
import traceback
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

sys.path.append(os.path.dirname(__file__))  # noqa: PTH120 - pathlib would double the start-up time
from confine import leave_the_machine, tie_down  # type: ignore[import-not-found]

sys.path.pop()

PRELOADED = (
    _strptime, array, ast, bisect, cmath, collections, copy, dataclasses, datetime, decimal, enum, fractions, functools,
    hashlib, heapq, io, itertools, json, math, numbers, operator, os, queue, random, re, statistics, string, sys, threading,
    time, traceback, types, typing,
)  # fmt: skip
LARGEST_RESULT, LARGEST_PRINTED = 1 << 16, 1 << 20
WALL_SECONDS = 5  # for each CPU second: a busy machine gives a program less than its share
Child = Callable[[int], None]


def main() -> None:
    """Answer `{"programs": […], "seconds", "mebibytes"}` with `{"held": […]}` and then a line `[index, [text, …] or null]`
    each."""
    request = json.load(sys.stdin)
    compile("0", "<warm>", "eval")
    limits = request["seconds"], request["mebibytes"]
    print(json.dumps({"held": [*leave_the_machine(), *_held(limits)]}), flush=True)
    for index, program in enumerate(request["programs"]):
        print(json.dumps([index, KINDS[program["kind"]](program, limits)]), flush=True)


def _held(limits: tuple[int, int]) -> list[str]:
    """Whether a child can be tied down here: it answers once it is."""
    return ["calls"] if run_child(lambda out: None, limits) is not None else []


def run_calls(program: Mapping[str, Any], limits: tuple[int, int]) -> list[str] | None:
    """The `repr` of every call after the program has run; None unless all came in time."""

    def child(out: int) -> None:
        names = _run(program["source"], "program")
        results = [repr(eval(call, names)) for call in program["calls"]]
        _write(out, json.dumps(results).encode())

    received = run_child(child, limits)
    return None if received is None else _texts(received)


def run_inputs(program: Mapping[str, Any], limits: tuple[int, int]) -> list[str] | None:
    """What the program prints for each input, in a child of its own; None if one of them fails, and then the others are not
    run."""
    printed = []
    for text in program["inputs"]:
        received = run_child(lambda out: _as_script(program["source"]), limits, text.encode(), prints=True)
        if received is None:
            return None
        printed.append(received.decode("utf-8", "replace"))
    return printed


def run_judged(program: Mapping[str, Any], limits: tuple[int, int]) -> list[str] | None:
    """`["passed"]` if the judge's function, given the program's, comes back; None if it raises, or anything else happens.

    They are two processes: the program sees arguments and answers with literals, so it can touch neither the judge's code nor
    its verdict, and an answer whose `==` lies does not survive the way.
    """
    asked, answered = os.pipe(), os.pipe()
    try:
        with _forked(lambda: _serve(program, asked[0], answered[1]), (asked[0], answered[1]), limits):
            os.close(asked[0])
            os.close(answered[1])
            kept = asked[1], answered[0]
            received = run_child(lambda out: _judge(program, *kept, out), limits, kept=kept)
    finally:
        os.close(asked[1])
        os.close(answered[0])
    return ["passed"] if received == b"passed" else None


KINDS: Mapping[str, Callable[[Mapping[str, Any], tuple[int, int]], list[str] | None]] = {
    "calls": run_calls,
    "inputs": run_inputs,
    "judged": run_judged,
}


def run_child(
    work: Child, limits: tuple[int, int], given: bytes = b"", kept: tuple[int, ...] = (), prints: bool = False
) -> bytes | None:
    """Run `work` in a tied child that reads `given` on 0, with a pipe's end to write to; what came through the pipe.

    The pipe is the child's standard output if it `prints`. None unless the child came to its end in time: with exit code 0, and
    within the largest result.
    """
    reading, writing = os.pipe()
    deadline = time.monotonic() + WALL_SECONDS * limits[0]
    with _forked(lambda: work(writing), (writing, *kept), limits, given, writing if prints else None) as child:
        os.close(writing)
        try:
            received = _read_all(reading, deadline, LARGEST_PRINTED if prints else LARGEST_RESULT)
        finally:
            os.close(reading)
        return received if received is not None and _ended_well(child, deadline) else None


@contextlib.contextmanager
def _forked(
    work: Callable[[], None], kept: tuple[int, ...], limits: tuple[int, int], given: bytes = b"", output: int | None = None
) -> Iterator[list[int]]:
    """A tied child at work, killed at the end. The list holds its id; whoever waits for it takes it out."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _silence(given, output)
            tie_down(kept, *limits)
            work()
            status = 0
        finally:
            os._exit(status)
    running = [child]
    try:
        yield running
    finally:
        for left in running:
            os.kill(left, signal.SIGKILL)
            os.waitpid(left, 0)


def _silence(given: bytes, output: int | None) -> None:
    """Input from memory, output to `output` or to nowhere, in a session of its own."""
    os.setsid()
    memory, nowhere = os.memfd_create("input"), os.open(os.devnull, os.O_RDWR)
    with open(memory, "wb", closefd=False) as file:
        file.write(given)
    os.lseek(memory, 0, os.SEEK_SET)
    for standard, source in enumerate((memory, nowhere if output is None else output, nowhere)):
        os.dup2(source, standard)


def _as_script(source: str) -> None:
    """Run a program as `python file` would. Raises SystemExit unless it ends with 0."""
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), "utf-8", newline="\n")
    builtins.__dict__.update(exit=sys.exit, quit=sys.exit)
    try:
        _run(source, "__main__")
    except SystemExit as end:
        if end.code not in (None, 0):
            raise
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    sys.stdout.flush()


def _serve(program: Mapping[str, Any], asked: int, answered: int) -> None:
    """The program's half of a judged one: answer each line of arguments with a line of the result, empty where it raised."""
    function = _run(program["source"], "program")[program["entry_point"]]
    with os.fdopen(asked, encoding="utf-8") as lines:
        for line in lines:
            positional, named = ast.literal_eval(line)
            try:
                result = repr(function(*positional, **named))
            except Exception:
                result = ""
            os.write(answered, result.replace("\n", " ").encode()[:LARGEST_RESULT] + b"\n")


def _judge(program: Mapping[str, Any], asked: int, answered: int, out: int) -> None:
    """The judge's half: its code with the program's function under its name, then `check` of that function."""
    answers = os.fdopen(answered, encoding="utf-8")

    def function(*positional: object, **named: object) -> object:
        _write(asked, f"{(positional, named)!r}\n".encode())
        return ast.literal_eval(answers.readline())

    names = _run(program["head"], "judge")
    names[program["entry_point"]] = function
    exec(compile(program["judge"], "<judge>", "exec"), names)
    names["check"](function)
    _write(out, b"passed")


def _run(source: str, name: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": name}
    exec(compile(source, f"<{name}>", "exec"), names)
    return names


def _write(out: int, data: bytes) -> None:
    while data:
        data = data[os.write(out, data) :]


def _read_all(reading: int, deadline: float, largest: int) -> bytes | None:
    """Everything until the other end is closed; None past the deadline, or past `largest` bytes."""
    received = b""
    while len(received) <= largest:
        ready, _, _ = select.select([reading], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        chunk = os.read(reading, LARGEST_RESULT)
        if not chunk:
            return received
        received += chunk
    return None


def _ended_well(child: list[int], deadline: float) -> bool:
    """Whether the child ends with 0 before the deadline."""
    while True:
        ended, status = os.waitpid(child[0], os.WNOHANG)
        if ended:
            child.clear()
            return status == 0
        if time.monotonic() > deadline:
            return False
        time.sleep(0.0005)


def _texts(received: bytes) -> list[str] | None:
    try:
        value = json.loads(received)
    except ValueError:
        return None
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


if __name__ == "__main__":
    main()
