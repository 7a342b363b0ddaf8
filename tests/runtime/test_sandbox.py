"""Untrusted programs run outside this process, and get no files, no sockets, little memory and little time."""

from __future__ import annotations

import os
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.sandbox import Judged, Limits, Program, Script, find_isolation, run_programs

QUICK = Limits(seconds=1, mebibytes=64)
DOUBLE = Judged("def f(x): return 2 * x", "def g(x): return x + 1", "def check(c):\n    assert c(3) == 6 and f(g(1)) == 4", "f")


def run(source: str, call: str = "f(3)") -> tuple[str, ...] | None:
    return run_programs([Program(source, (call,))], QUICK)[0]


def test_a_program_gives_the_repr_of_each_call() -> None:
    program = Program("def f(x):\n    return [x, str(x)]", ("f(1)", "f(-2)"))
    assert run_programs([program], QUICK) == [("[1, '1']", "[-2, '-2']")]


def test_preloaded_modules_can_be_imported() -> None:
    assert run("import math, re, collections\ndef f(x): return math.factorial(x)") == ("6",)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives up its rights before it runs a program")
def test_an_interpreter_in_a_home_that_only_its_owner_reads_runs_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, made = tmp_path / "home", tmp_path / "made"
    (home / "lib").mkdir(parents=True, mode=0o700)
    (home / "bin").mkdir()
    (home / "lib" / Path(sysconfig.get_path("stdlib")).name).symlink_to(sysconfig.get_path("stdlib"))
    (made / "bin").mkdir(parents=True)
    (made / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (made / "pyvenv.cfg").write_text(f"home = {home / 'bin'}\n")
    home.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(made / "bin" / "python"))
    assert run("import math\ndef f(x): return (math.factorial(x), f'{x}'.encode('ascii'))") == ("(6, b'3')",)
    script = Script("print(input() + 'é')\nprint(sorted('ba'))", ("ö",))
    assert run_programs([script, DOUBLE], QUICK) == [("öé\n['a', 'b']\n",), ("passed",)]


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


HOSTILE = {
    "a fork bomb": "import os\nwhile True: os.fork()",
    "a new session": "import os\nos.setsid()\nos.fork()",
    "a signal to everyone": "import os\nos.kill(-1, 9)",
    "another program": "import os\nos.execv('/bin/sh', ['sh', '-c', 'true'])",
    "a socket": "import _socket\n_socket.socket()",
    "a file to read": "open('/etc/hostname').read()",
    "a file by the system call itself": "import os\nos.open('/etc/hostname', 0)",
    "a folder to list": "import os\nos.listdir('/')",
    "a file in memory": "import os\nos.memfd_create('x')",
    "much memory": "x = bytearray(10**9)",
    "memory bit by bit": "x = []\nwhile True: x.append('y' * 10**6 + str(len(x)))",
    "an endless loop": "while True: pass",
    "a long sleep": "import time\ntime.sleep(60)",
    "leaving early": "import os\nos._exit(0)",
    "limits undone": "import resource\nresource.setrlimit(resource.RLIMIT_NPROC, (100, 100))",
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_whatever_a_hostile_program_tries_it_gives_nothing_and_its_neighbours_are_well(source: str) -> None:
    honest = Program("f = lambda x: x + 1", ("f(1)",))
    answers = run_programs([Program(source, ("1",)), honest, Script(source + "\nprint(1)", ("",)), DOUBLE], QUICK)
    assert answers[0] is None
    assert answers[2] in (None, ("",))
    assert (answers[1], answers[3]) == (("2",), ("passed",))


@pytest.mark.parametrize(
    "deed", ["os.unlink({0!r})", "os.rename({0!r}, {0!r} + '2')", "os.chmod({0!r}, 0)", "os.truncate({0!r}, 0)"]
)
def test_a_program_can_remove_or_change_no_file_even_one_that_everybody_may(tmp_path: Path, deed: str) -> None:
    kept = tmp_path / "kept"
    kept.write_text("x")
    for path, mode in ((tmp_path, 0o777), (kept, 0o666)):
        path.chmod(mode)
    assert run(f"import os\n{deed.format(str(kept))}\nf = lambda x: x") is None
    assert kept.read_text() == "x"
    assert kept.stat().st_mode & 0o777 == 0o666


def test_programs_are_held_by_a_list_of_system_calls_here() -> None:
    assert "calls" in find_isolation()


def test_a_script_prints_its_answer_to_each_input_and_may_end_as_scripts_end() -> None:
    script = Script("import sys\nn = int(input())\nprint(n * 2)\nsys.exit() if n else exit(0)", ("3\n", "0\n"))
    assert run_programs([script], QUICK) == [("6\n", "0\n")]


@pytest.mark.parametrize(
    "source",
    [
        "import sys\nprint(sum(int(x) for x in sys.stdin.read().split()))",
        "print(sum(map(int, open(0).read().split())))",
        "import sys\nprint(sum(map(int, sys.stdin.buffer.readline().split())))",
        "import sys, threading\nsys.setrecursionlimit(10**5)\nthreading.stack_size(2**25)\n"
        "t = threading.Thread(target=lambda: print(sum(map(int, input().split()))))\nt.start()",
        "if __name__ == '__main__':\n    import os\n    os.write(1, str(sum(map(int, os.read(0, 99).split()))).encode())",
    ],
)
def test_scripts_read_and_write_in_the_ways_that_competitors_use(source: str) -> None:
    results = run_programs([Script(source, ("4 5\n",))], QUICK)[0]
    assert results is not None
    assert results[0].strip() == "9"


@pytest.mark.parametrize(
    "source", ["print(1)\n1 / 0", "import sys\nprint(1)\nsys.exit(3)", "print('y' * (1 << 21))", "input()", "("]
)
def test_a_script_that_fails_for_one_input_gives_none(source: str) -> None:
    assert run_programs([Script(source, ("",))], QUICK) == [None]


def test_each_input_meets_a_fresh_program() -> None:
    script = Script("import math\nprint(math.pi > 3)\nmath.pi = 0", ("", ""))
    assert run_programs([script], QUICK) == [("True\n", "True\n")]


def test_a_large_input_reaches_a_script_that_reads_none_of_it_or_all() -> None:
    large = "7" * 300_000
    assert run_programs([Script("print(1)", (large,)), Script("print(len(input()))", (large,))], QUICK) == [
        ("1\n",),
        ("300000\n",),
    ]


@pytest.mark.parametrize(
    ("source", "verdict"),
    [
        ("def f(x): return 2 * x", ("passed",)),
        ("def f(x): return 2 * x + 1", None),
        ("def g(x): return 2 * x", None),
        ("check = lambda c: None\nf = lambda x: 0", None),
        ("import builtins\nbuiltins.exec = builtins.compile = lambda *a: None\nf = lambda x: 0", None),
        ("class Same(int):\n    __eq__ = lambda a, b: True\nf = lambda x: Same(1)", None),
        ("class Liar:\n    __repr__ = lambda a: '6'\n    __eq__ = lambda a, b: True\nf = lambda x: Liar()", None),
        ("import os\nfor n in range(3, 20):\n    try: os.write(n, b'passed')\n    except OSError: pass\nos._exit(0)", None),
        ("print('passed')\nf = lambda x: 0", None),
        ("def f(x): raise SystemExit(0)", None),
        ("def f(x):\n    while True: pass", None),
        ("import sys\nfor name in list(sys.modules): sys.modules[name] = None\nf = lambda x: 0", None),
    ],
)
def test_a_judge_in_another_process_is_fooled_by_nothing_the_program_does(source: str, verdict: tuple[str, ...] | None) -> None:
    assert run_programs([Judged(source, DOUBLE.head, DOUBLE.judge, "f")], QUICK) == [verdict]


def test_threads_that_run_programs_at_the_same_time_do_not_disturb_each_other() -> None:
    def both(number: int) -> list[tuple[str, ...] | None]:
        return run_programs([Program(f"f = lambda x: x + {number}", ("f(1)",)), Script(f"print({number})", ("",))], QUICK)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(both, range(16))) == [[(str(n + 1),), (f"{n}\n",)] for n in range(16)]
