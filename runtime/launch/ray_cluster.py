"""A Ray cluster for one command: started on every node of the job, waited for, and ended with the command.

    python -m runtime.launch.ray_cluster --nodes=2 --cpus=32 --gpus=4 --head=cn-a001 --port=14200 --step="srun …" COMMAND…

`ray start` runs in the foreground of a step on each node (runtime/launch/ray_node.py), and the command here, on the first one.
So this ends with 0 only if the command ran and ended with 0. Two jobs on one node have clusters of their own: other ports,
another folder, another token; nothing calls `ray stop`, which would end them all.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence

from runtime.errors import JobError
from runtime.launch import child, ports

PATIENCE = 300.0  # seconds until every node must be there; Ray's own start takes 5 to 30
GRACE = 20.0  # seconds for Ray, or for the command, to end by itself
LOOK = 0.2  # seconds between two looks


def main(argv: Sequence[str]) -> int:
    """Run the command on a cluster of its own; end as it ended, or with 1 and a message."""
    options = _parser().parse_args(argv)
    try:
        return run(options)
    except JobError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def run(options: argparse.Namespace) -> int:
    """Start Ray, run the command, end Ray; the command's exit code. Raises JobError where either could not be run."""
    port = options.port or ports.first()
    address = f"{_address(options.head)}:{port}"
    environment = {**os.environ, **_environment(address)}
    with child.listening() as ear:
        step = child.start([*shlex.split(options.step), *_node(options, address)], environment)
        try:
            if not _wait_for_nodes(step, ear, options, environment):
                return child.exit_code(-int(ear.heard[0]))
            return _command(step, ear, options.command, environment)
        finally:
            child.end(step, signal.SIGUSR1 if child.is_srun(step) else signal.SIGTERM, GRACE)


def _environment(address: str) -> Mapping[str, str]:
    """What Ray's processes and the command share. The token is this cluster's own; sockets need a folder with a short name."""
    folder = f"/tmp/ray.{os.environ.get('SLURM_JOB_ID') or os.getpid()}"
    return {
        "RAY_ADDRESS": address, "RAY_TMPDIR": folder, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }  # fmt: skip


def _address(head: str | None) -> str:
    """A node's address; without a name this node's own, where nobody else can reach it."""
    if head is None:
        return "127.0.0.1"
    try:
        return socket.gethostbyname(head)
    except OSError as error:
        raise JobError(f"--head: the name '{head}' leads to no address ({error})") from error


def _node(options: argparse.Namespace, address: str) -> list[str]:
    module = [sys.executable, "-m", "runtime.launch.ray_node"]
    return [*module, f"--address={address}", f"--cpus={options.cpus}", f"--gpus={options.gpus}"]


def _wait_for_nodes(step: child.Process, ear: child.Ear, options: argparse.Namespace, environment: Mapping[str, str]) -> bool:
    """Wait until all nodes are there; False when a signal came first. Raises JobError when Ray ended, or took too long."""
    ready = child.start([sys.executable, "-m", "runtime.launch.ray_ready", str(options.nodes)], environment)
    end = time.monotonic() + options.patience
    try:
        while ready.poll() != 0:
            if ear.heard:
                return False
            if step.poll() is not None:
                raise JobError(f"Ray did not start: it ended with {child.exit_code(step.wait())}; see its messages above")
            if ready.poll() is not None:
                raise JobError(f"Ray cannot be asked for its nodes (exit code {ready.wait()}); see the messages above")
            if time.monotonic() > end:
                raise JobError(f"Ray did not have {options.nodes} node(s) within {options.patience:g} seconds; see its log")
            time.sleep(LOOK)
    finally:
        child.end(ready, signal.SIGTERM, 1.0)
    return True


def _command(step: child.Process, ear: child.Ear, command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command to its end, or until Ray ends under it."""
    process = child.start(command, environment)
    ear.lend_to(process)
    try:
        while (code := process.poll()) is None:
            if step.poll() is not None:
                raise JobError(f"Ray ended (exit code {child.exit_code(step.wait())}) while {command[0]} ran")
            time.sleep(LOOK)
        return child.exit_code(code)
    finally:
        child.end(process, signal.SIGTERM, GRACE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.launch.ray_cluster",
        description="Run a command on a Ray cluster of its own.",
        allow_abbrev=False,
    )
    parser.add_argument("--nodes", type=int, required=True, help="nodes of the cluster")
    parser.add_argument("--cpus", type=int, required=True, help="CPUs of each node that Ray may count on")
    parser.add_argument("--gpus", type=int, required=True, help="GPUs of each node")
    parser.add_argument("--head", help="name of the first node; default: this one, reached by itself only")
    parser.add_argument("--port", type=int, help="the first of 200 ports; default: from the job's id")
    parser.add_argument(
        "--step", default="", help="what starts a program on each node (srun …); default: nothing, for one node"
    )
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds until all nodes must be there")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="with its arguments")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
