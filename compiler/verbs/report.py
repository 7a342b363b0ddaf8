"""`lethe report SPEC`: the study's table, and what is missing."""

from __future__ import annotations

import argparse
from pathlib import Path

from compiler.verbs import runtime

ABOUT = "the study's table, and what is missing"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe report` can be told."""
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the study, for example specs/phase1.yaml")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--store", type=Path, metavar="DIR", help="default: $LETHE_STORE, else the cluster's")


def run(options: argparse.Namespace) -> int:
    """Become the runtime's command of that kind. Raises TreeError when the study is not compiled."""
    return runtime.become("table", options)
