"""`lethe report SPEC`: the study's table, and what is missing."""

from __future__ import annotations

import argparse

from compiler.verbs import runtime

ABOUT = "the study's table, and what is missing"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe report` can be told."""
    runtime.arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Become the runtime's command of that kind. Raises TreeError when the study is not compiled."""
    return runtime.become("table", options)
