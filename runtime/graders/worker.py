"""The far side of `workers.py`: `python -m runtime.graders.worker KIND` answers lines of JSON on its standard input, one by
one.

An answer is `{"answer": …}`, or `{"wrong": message}` where whoever asks has something to mend. What a judge raises beside that
makes the answer null: a scorer that stumbles over what a model wrote does not pay for it.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from runtime.errors import JobError

Judge = Callable[[Any], Any]
JUDGES = {  # each module's `open_judge` does the slow imports
    "symbolic": "runtime.graders.symbolic",
    "reasoning_gym": "runtime.graders.reasoning",
    "gem": "runtime.graders.gem",
}
MEMORY = 8 << 30


def main(kind: str) -> None:
    """Answer until there is nothing more to read."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        judge: Judge = importlib.import_module(JUDGES[kind]).open_judge()
    except JobError as error:
        print(json.dumps({"wrong": str(error)}), file=answers, flush=True)
        return
    print(json.dumps({"answer": "ready"}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        _allow(asked["seconds"])
        print(json.dumps(_answer(judge, asked["request"])), file=answers, flush=True)


def _allow(seconds: int) -> None:
    """Have the kernel end this process (SIGXCPU) once it has used so many CPU seconds from now on, to the next whole one."""
    spent = math.ceil(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _answer(judge: Judge, request: Any) -> dict[str, Any]:
    try:
        return {"answer": judge(request)}
    except JobError as error:
        return {"wrong": str(error)}
    except Exception:
        return {"answer": None}


if __name__ == "__main__":
    main(sys.argv[1])
