"""`python -m runtime.launch.ray_ready N`: wait until the cluster at $RAY_ADDRESS has N nodes; the caller limits the time."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

LOOK = 0.5


def main(argv: Sequence[str]) -> int:
    """Wait for so many nodes."""
    ray: Any = importlib.import_module("ray")
    wanted = int(argv[0])
    while not ray.is_initialized():
        try:
            ray.init(address=os.environ["RAY_ADDRESS"], logging_level="ERROR", log_to_driver=False)
        except ConnectionError:
            time.sleep(LOOK)
    while sum(node["Alive"] for node in ray.nodes()) < wanted:
        time.sleep(LOOK)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
