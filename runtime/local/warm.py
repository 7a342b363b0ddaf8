"""One warm process, so that a job here need not import its trainer again: a server that forks, and its small client.

The server (`python -m runtime warm SOCKET`) listens on a Unix socket. The first client's environment becomes its own,
it imports what jobs need, and then forks once for each request. The child takes over the client's arguments, folder,
environment, stdin, stdout and stderr, and returns from `serve` to do the job as a cold process would. The client passes
signals on to the child's process group and ends as the child ended. A client that dies takes its child along; the server
ends when its own stdin closes.

Messages: a request is 8 bytes of length (big endian) sent with three file descriptors, then JSON (see `Request`).
Answers are lines of JSON: {"refused": why}, or {"started": pid} and later {"ended": code}, where -9 is for signal 9.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

TRAINERS = tuple(f"trl.trainer.{name}_trainer" for name in ("sft", "dpo", "grpo"))
IMPORTS = ("torch", "transformers", "datasets", *TRAINERS)
# Libraries read variables with these beginnings when they are imported: a job with others needs a process of its own.
READ_AT_IMPORT = (
    "OMP_",
    "MKL_",
    "OPENBLAS_",
    "LD_",
    "PYTHON",
    "TORCH",
    "PYTORCH_",
    "HF_",
    "TRANSFORMERS_",
    "TOKENIZERS_",
)
READ_BY_TORCHRUN = "TORCH_ELASTIC_"  # which starts processes of its own; scripts of trainings set one
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
BACKLOG = 256
PYTHON = str(Path(sys.prefix).resolve())
CODE = str(Path(__file__).resolve().parents[1])


@dataclass(frozen=True)
class Request:
    """What makes a forked child what its client would have been. `python` and `code` must be the server's own."""

    argv: Sequence[str]
    folder: str
    environment: Mapping[str, str]
    python: str = PYTHON
    code: str = CODE

    def decisive(self) -> tuple[str, str, dict[str, str]]:
        """Return what must be equal for two requests to be served by one process."""
        imported = (name for name in self.environment if name.startswith(READ_AT_IMPORT))
        names = sorted(name for name in imported if not name.startswith(READ_BY_TORCHRUN))
        return self.python, self.code, {name: self.environment[name] for name in names}


# ---- the client -----------------------------------------------------------------------------------------------------


def ask(address: str, argv: Sequence[str]) -> int | None:
    """Have the server at `address` run `python -m runtime ARGV`; return its exit code, or None: run it here.

    Does not return, but ends by the same signal, when the child was ended by one.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        try:
            line.connect(address)
            _send(line, Request(argv, str(Path.cwd()), dict(os.environ)))
            answers = line.makefile("rb")
            first = _answer(answers)
        except OSError as error:
            first = {"refused": f"no warm process at {address} ({error.strerror})"}
        if "started" in first:
            return _wait(answers, first["started"])
    print(f"starting cold: {first.get('refused', 'the warm process ended')}", file=sys.stderr, flush=True)
    return None


def _send(line: socket.socket, request: Request) -> None:
    body = json.dumps(asdict(request)).encode()
    socket.send_fds(line, [len(body).to_bytes(8, "big")], [0, 1, 2])
    line.sendall(body)


def _answer(answers: BinaryIO) -> dict[str, Any]:
    text = answers.readline()
    found: dict[str, Any] = json.loads(text) if text.endswith(b"\n") else {}
    return found


def _wait(answers: BinaryIO, child: int) -> int:
    """Pass signals on to the child until it ends, then end likewise."""
    for number in PASSED_ON:
        signal.signal(number, lambda number, _: _signal_group(child, number))
    last = _answer(answers)
    if "ended" not in last:
        _signal_group(child, signal.SIGKILL)
        print("the warm process ended while this job ran", file=sys.stderr, flush=True)
        return 1
    code: int = last["ended"]
    if code < 0:
        _end_by(-code)
    return code


def _signal_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return


def _end_by(number: int) -> None:
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


# ---- the server -----------------------------------------------------------------------------------------------------


@dataclass
class _Server:
    """The open connections, the children by process id, and the request that decided what this process imported."""

    listener: socket.socket
    wake: int
    first: Request | None = None
    children: dict[int, socket.socket] = field(default_factory=dict)


def serve(path: str) -> Request | None:
    """Serve until stdin closes, then return None. In a child, return the request that this process has become."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(BACKLOG)
        wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        print("ready", flush=True)
        server = _Server(listener, wake)
        request = _serve(server)
    if request is None:
        _end_children(server)
    else:
        signal.set_wakeup_fd(-1)
        os.close(wake)
        os.close(woken)
    return request


def _serve(server: _Server) -> Request | None:
    while True:
        waiting: list[int | socket.socket] = [0, server.wake, server.listener, *server.children.values()]
        readable, _, _ = select.select(waiting, [], [])
        if 0 in readable:
            return None
        if server.wake in readable:
            _reap(server)
        for pid, line in list(server.children.items()):
            if line in readable:  # a client says nothing more: it has gone
                _signal_group(pid, signal.SIGKILL)
                line.close()
                del server.children[pid]
        if server.listener in readable:
            request = _accept(server)
            if request is not None:
                return request


def _reap(server: _Server) -> None:
    os.read(server.wake, 4096)
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        line = server.children.pop(pid, None)
        if line is not None:
            _tell(line, {"ended": os.waitstatus_to_exitcode(status)})
            line.close()


def _tell(line: socket.socket, answer: Mapping[str, Any]) -> None:
    try:
        line.sendall(json.dumps(answer).encode() + b"\n")
    except BrokenPipeError:
        return


def _accept(server: _Server) -> Request | None:
    """Take one request; return it in the child that it is forked into, None in the server."""
    line, _ = server.listener.accept()
    received = _receive(line)
    if received is None:
        line.close()
        return None
    request, files = received
    refusal = _refusal(server, request)
    if refusal is not None:
        _tell(line, {"refused": refusal})
        line.close()
    elif _fork(server, line):
        _become(server, request, files)
        return request
    for file in files:
        os.close(file)
    return None


def _receive(line: socket.socket) -> tuple[Request, list[int]] | None:
    """Read one request and the client's stdin, stdout and stderr; None when the client has gone."""
    head, files, _, _ = socket.recv_fds(line, 8, 3)
    with line.makefile("rb") as stream:
        body = stream.read(int.from_bytes(head, "big"))
    if len(files) != 3 or not body:
        return None
    return Request(**json.loads(body)), files


def _refusal(server: _Server, request: Request) -> str | None:
    if server.first is None:
        if (request.python, request.code) != (PYTHON, CODE):
            return f"the warm process is {PYTHON} with {CODE}, this one is {request.python} with {request.code}"
        server.first = request
        _import_all(request.environment)
    if request.decisive() != server.first.decisive():
        return "the warm process was started for another environment"
    return None


def _import_all(environment: Mapping[str, str]) -> None:
    """Import what jobs need, in the environment that they have. Let the job complain of what is not installed."""
    os.environ.update(environment)
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # asking whether there is a GPU must not make forked children lose it
    jobs = sorted((Path(__file__).parents[1] / "jobs").glob("[!_]*.py"))
    for name in (*IMPORTS, *(f"runtime.jobs.{path.stem}" for path in jobs)):
        try:
            importlib.import_module(name)
        except ImportError as error:
            print(f"warm: {name}: {error}", file=sys.stderr, flush=True)
    gc.collect()
    gc.freeze()  # keep the collector from touching, and so copying, the pages shared with the children


def _fork(server: _Server, line: socket.socket) -> bool:
    """Fork; return True in the child."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        line.close()
        return True
    server.children[pid] = line
    _tell(line, {"started": pid})
    return False


def _become(server: _Server, request: Request, files: Sequence[int]) -> None:
    """Make this child what its client would have been: files, folder, environment, signals, process group."""
    os.setsid()
    for target, file in enumerate(files):
        os.dup2(file, target)
        os.close(file)
    for line in server.children.values():
        line.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(request.environment)
    os.environ.pop("LETHE_WARM", None)
    os.chdir(request.folder)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]


def leave(code: int) -> NoReturn:
    """End a forked child as Python ends, but for taking its modules apart: that alone would cost half a second."""
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _end_children(server: _Server) -> None:
    for pid, line in server.children.items():
        _signal_group(pid, signal.SIGKILL)
        line.close()
