"""What is printed of a study's failures."""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from runtime.operations.status import read_study, status_of
from runtime.operations.status.study import read_names
from runtime.operations.triage.groups import Group, groups_of
from runtime.operations.triage.signatures import read_signatures

INCOMPLETE = 3


def show(plan: Path, store: Path | None, as_json: bool, chosen: Path | None) -> int:
    """Print the failures of a study by their cause; return 0 when there are none, else 3."""
    study = read_study(plan, store)
    status = status_of(study)
    groups = groups_of(study, status, read_names(chosen), read_signatures())
    if as_json:
        document = {"lethe": 1, "study": study.name, "notes": [*status.notes], "groups": [_as_json(group) for group in groups]}
        print(json.dumps(document, indent=1))
        return INCOMPLETE if groups else 0
    for note in status.told_notes:
        print(note, file=sys.stderr)
    blocks = ["\n".join(told(group, study.spec)) for group in groups]
    print("\n\n".join(blocks) if blocks else f"{study.name}: nothing has failed")
    return INCOMPLETE if groups else 0


def told(group: Group, spec: str) -> list[str]:
    """A group for people: what it is, how many, what they share, one example, what helps, and what to type."""
    kinds = Counter(item.kind for item in group.jobs)
    jobs = ", ".join(f"{count} {kind} job{'s' * (count > 1)}" for kind, count in kinds.items())
    shared = "".join(f", all {axis}={value}" for axis, value in group.common.items()) if len(group.cells) > 1 else ""
    size = f"{len(group.cells)} cell{'s' * (len(group.cells) > 1)}{shared}; {jobs}" if group.cells else jobs
    held = f", which hold up {group.holds_up} more" if group.holds_up else ""
    lines = [f"{group.signature.what}: {size}{held}", f"    fix:   {group.signature.fix}"]
    lines += [f"    says:  {group.line}"] if group.line else []
    lines += [f"    log:   {group.log}"] if group.log else []
    then = "now" if group.signature.again == "yes" else "then"
    words = shlex.join([spec, group.select])
    return [*lines, f"    which: lethe ls {words}", f"    {then + ':':6} lethe retry {words}"]


def _as_json(group: Group) -> dict[str, Any]:
    return {
        "signature": group.signature.id, "what": group.signature.what,
        "fix": group.signature.fix, "again": group.signature.again,
        "jobs": [item.job for item in group.jobs], "cells": [*group.cells], "common": dict(group.common),
        "line": group.line, "log": group.log, "select": group.select, "holds_up": group.holds_up,
    }  # fmt: skip
