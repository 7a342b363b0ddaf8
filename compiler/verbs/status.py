"""`lethe status SPEC`: what is done, running, failed."""

from __future__ import annotations

import argparse

from compiler.verbs import runtime

ABOUT = "what is done, running, failed"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe status` can be told."""
    runtime.arguments(parser)
    parser.add_argument("--canary", action="store_true", help="of the study's canary instead")


def run(options: argparse.Namespace) -> int:
    """Become the runtime's command of that kind. Raises TreeError when the study is not compiled."""
    return runtime.become("status", options)
