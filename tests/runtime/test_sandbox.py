"""Untrusted programs run outside this process, and get no files, no sockets, little memory and little time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.sandbox import Limits, Program, run_programs

QUICK = Limits(seconds=1, mebibytes=64)


def run(source: str, call: str = "f(3)") -> tuple[str, ...] | None:
    return run_programs([Program(source, (call,))], QUICK)[0]


def test_a_program_gives_the_repr_of_each_call() -> None:
    program = Program("def f(x):\n    return [x, str(x)]", ("f(1)", "f(-2)"))
    assert run_programs([program], QUICK) == [("[1, '1']", "[-2, '-2']")]


def test_preloaded_modules_can_be_imported() -> None:
    assert run("import math, re, collections\ndef f(x): return math.factorial(x)") == ("6",)


@pytest.mark.parametrize(
    "source",
    [
        "f = ",
        "f = lambda x: 1 / 0",
        "raise SystemExit",
        "import os; os._exit(0)",
        "while True: pass",
        "import time\ntime.sleep(60)",
        "f = lambda x: 'y' * 10**9",
        "f = lambda x: 'y' * 10**6",
        "f = lambda x: open('/etc/passwd').read()",
        "import socket",
        "import os\nf = lambda x: os.pipe()",
        "f = lambda x: f(x)",
    ],
)
def test_a_program_that_fails_or_breaks_a_limit_gives_none(source: str) -> None:
    assert run(source) is None


def test_a_program_can_write_no_file(tmp_path: Path) -> None:
    target = tmp_path / "mark"
    assert run(f"open({str(target)!r}, 'w').write('x')\nf = lambda x: x") is None
    assert not target.exists()


def test_what_a_program_prints_is_no_result() -> None:
    assert run("print('[0, [\"forged\"]]', flush=True)\nf = lambda x: x") == ("3",)


def test_a_program_that_kills_its_runner_takes_no_other_program_along() -> None:
    killer = Program("import os\nos.kill(os.getppid(), 9)", ("1",))
    honest = [Program(f"f = lambda x: x + {number}", ("f(1)",)) for number in range(3)]
    assert run_programs([honest[0], killer, *honest[1:]], QUICK) == [("1",), None, ("2",), ("3",)]


def test_programs_share_nothing_with_each_other_or_with_this_process() -> None:
    setter = Program("import math\nmath.pi = 3", ("math.pi",))
    reader = Program("import math, os", ("math.pi > 3", "os.getpid()"))
    answers = run_programs([setter, reader], QUICK)
    assert answers[0] == ("3",)
    assert answers[1] is not None
    assert answers[1][0] == "True"
    assert int(answers[1][1]) != os.getpid()


def test_equal_programs_get_equal_results_and_no_program_none() -> None:
    program = Program("f = lambda x: x", ("f(1)",))
    assert run_programs([program] * 3, QUICK) == [("1",)] * 3
    assert run_programs([], QUICK) == []
