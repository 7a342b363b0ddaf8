"""Ray on one node of a cluster, in the foreground: `ray start --block` until a signal comes, and its folder removed after it.

With srun it runs on every node; the one whose SLURM_NODEID is 0 is the head. What a node offers is said and never guessed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.errors import JobError
from runtime.launch import child

GRACE = 15.0  # seconds for Ray to end by itself
LOOK = 0.2


def arguments(address: str, cpus: int, gpus: int, *, head: bool) -> list[str]:
    """The command that starts Ray on a node. All its ports follow the address's own, up to 200 from there: one that is left to
    Ray (its client server's 10001) would be another job's, too."""
    host, _, text = address.rpartition(":")
    port = int(text)
    whose = ["--head", f"--node-ip-address={host}", f"--port={port}", "--include-dashboard=false"]
    return [
        "ray", "start", *(whose if head else [f"--address={address}"]), "--block", "--disable-usage-stats",
        f"--num-cpus={cpus}", f"--num-gpus={gpus}",
        f"--node-manager-port={port + 1}", f"--object-manager-port={port + 2}", f"--runtime-env-agent-port={port + 3}",
        f"--metrics-export-port={port + 4}", f"--dashboard-agent-grpc-port={port + 5}",
        f"--dashboard-agent-listen-port={port + 6}", f"--ray-client-server-port={port + 7}",
        f"--min-worker-port={port + 10}", f"--max-worker-port={port + 199}",
    ]  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Run Ray until a signal comes; end with Ray's own code where it ends by itself, with 1 if that is 0."""
    options = _parser().parse_args(argv)
    folder = Path(os.environ["RAY_TMPDIR"])
    try:
        _make(folder)
        with child.listening() as ear:
            process = child.start(arguments(options.address, options.cpus, options.gpus, head=_is_head()))
            code = _until_told(process, ear)
        return code
    except JobError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _until_told(process: child.Process, ear: child.Ear) -> int:
    """Wait for Ray, which ends only when it is told to or fails."""
    while not ear.heard:
        try:
            code = child.exit_code(process.wait(LOOK))
        except child.Waiting:
            continue
        print(f"ray start ended by itself with {code}", file=sys.stderr)
        return code or 1
    child.end(process, signal.SIGTERM, GRACE)
    return 0


def _make(folder: Path) -> None:
    """An empty folder of our own, in which nobody else can write."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise JobError(f"{folder}: cannot be made for Ray ({error.strerror}); remove it") from error


def _is_head() -> bool:
    return int(os.environ.get("SLURM_NODEID") or 0) == 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runtime.launch.ray_node", allow_abbrev=False)
    parser.add_argument("--address", required=True, help="HOST:PORT of the head")
    parser.add_argument("--cpus", type=int, required=True)
    parser.add_argument("--gpus", type=int, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
