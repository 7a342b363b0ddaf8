"""`lethe lock SPEC`: write SPEC.lock, with a commit for every model and data set that the study names."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from compiler.verbs import INCOMPLETE

ABOUT = "pin what moves: commits of models and data sets, hashes of environments"

HOW = """\
for instance:
  lethe lock specs/phase1.yaml              writes specs/phase1.lock; commit it. Compiling uses it from then on
  lethe lock specs/phase1.yaml --update     looks up again what a branch points to, and locks that

`lethe compile` can be told to refuse where something is not locked, or has changed since.

A commit is looked up in this machine's Hugging Face cache and, where that does not have it, on the hub, if it can be reached
(HF_HUB_OFFLINE=1 forbids asking). What cannot be told here is printed, listed in the lock, and makes the exit code 3.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe lock` can be told."""
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the study, for example specs/phase1.yaml")
    parser.add_argument("--update", action="store_true", help="look up anew what is locked already, first on the hub")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.epilog = f"{HOW}\n{parser.epilog or ''}"


def run(options: argparse.Namespace) -> int:
    """Write the lock. Raises SpecError and TreeError."""
    from compiler.lock.file import lock_of, read_lock, text_of
    from compiler.lock.locking import locked
    from compiler.lock.resolve import first_of
    from compiler.output.write import write_file
    from compiler.pipeline import compile_study

    before = read_lock(options.spec)
    compiled = compile_study(options.spec, locked=False)
    resolvers = first_of(os.environ, fresh=options.update)
    lock = locked(compiled.plan, compiled.cluster, before.lock if before else None, resolvers, fresh=options.update)
    path = lock_of(options.spec)
    changed = write_file(path, text_of(lock, options.spec))
    if options.json:
        print(json.dumps({"file": str(path), "changed": changed, **lock.model_dump()}, indent=1))
    else:
        for what, why in sorted(lock.unresolved.items()):
            print(f"not locked: {what}: {why}", file=sys.stderr)
        models, datasets = (sum(map(len, group.values())) for group in (lock.models, lock.datasets))
        counts = f"{models} models, {datasets} data sets, {len(lock.files)} files locked; {len(lock.unresolved)} not"
        print(f"{path}: {counts}; {'written' if changed else 'unchanged'}.")
    return INCOMPLETE if lock.unresolved else 0
