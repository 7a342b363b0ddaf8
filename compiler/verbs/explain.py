"""`lethe explain SPEC CELL|JOB [FIELD]` and `lethe explain FILE:LINE`: where a value comes from."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compiler.explain.line import Line
    from compiler.pipeline import Compiled

ABOUT = "say where a value comes from: a cell's, a job's, or one in a line of a generated file"

ASKING = """\
for instance:
  lethe explain specs/phase1.yaml gt_sft_math_base_4b              every setting of a cell's trainings, and which file sets it
  lethe explain specs/phase1.yaml gt_sft_math_base_4b lr           all that is said of one, and what holds
  lethe explain specs/phase1.yaml CELL grpo.lr                     the same where several stages have one
  lethe explain specs/phase1.yaml train/gt_sft_math_base_4b resources.time
  lethe explain generated/phase1/jobs/train/gt_sft_math_base_4b.sh:7     which values decide this line
  lethe explain specs/phase1.yaml CELL steps --canary              in the canary, and what the study itself says

FIELD is a setting, or a mapping of them; `execution.NAME` and `resources.NAME` are how a job runs. A cell's FIELD is looked for
in its trainings first, then in all jobs that it takes.
"""

_LINE = re.compile(r"(?P<file>.+?):(?P<line>[0-9]+)(:[0-9]+)?")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe explain` can be told."""
    parser.add_argument("spec", metavar="SPEC|FILE:LINE", help="the study, or a line of a file below generated/")
    parser.add_argument("name", nargs="?", metavar="CELL|JOB", help="a cell or a job of the study")
    parser.add_argument("field", nargs="?", metavar="FIELD", help="one of its values; default: all of them")
    parser.add_argument("--canary", action="store_true", help="in the study's canary instead")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.epilog = f"{ASKING}\n{parser.epilog or ''}"


def run(options: argparse.Namespace) -> int:
    """Say where values come from. Raises LetheError when there is nothing of that name."""
    line = _LINE.fullmatch(options.spec)
    if options.name is None and line:
        return _line(Path(line["file"]), int(line["line"]), options.json)
    if options.name is None:
        from compiler.select.grammar import SelectionError

        raise SelectionError(
            f"explain what of {options.spec}? Name a cell or a job (`lethe ls {options.spec}` lists them), or a generated "
            "FILE:LINE instead of the spec"
        )
    compiled = _compiled(Path(options.spec), canary=options.canary)
    return _values(compiled, options.name, options.field, options.json)


def _compiled(spec: Path, *, canary: bool) -> Compiled:
    """A spec compiled, or its canary."""
    from compiler.canary.compiling import compile_canary
    from compiler.pipeline import compile_study

    return compile_canary(spec)[1] if canary else compile_study(spec)


def _values(compiled: Compiled, name: str, field: str | None, as_json: bool) -> int:
    from compiler.explain.values import explain, listed, told

    found = explain(compiled.plan, compiled.sources, name, field)
    if as_json:
        print(json.dumps([value.as_json() for value in found], indent=1))
    elif field is None:
        print("\n".join(listed(found)))
    else:
        print("\n\n".join("\n".join(told(value)) for value in found))
    return 0


def _line(file: Path, line: int, as_json: bool) -> int:
    from compiler.explain.line import shared

    found = shared(file, line) or _of_study(file, line)
    print(json.dumps(found.as_json(), indent=1) if as_json else "\n".join(found.told()))
    return 0


def _of_study(file: Path, line: int) -> Line:
    from compiler.explain.line import Origins, explain_line, spec_of
    from compiler.language.catalog import read_catalog
    from compiler.language.study import read_study

    spec, path, name = spec_of(file)
    study, tree = read_study(spec)
    catalog = read_catalog([spec.parent / folder for folder in study.catalog], tree)
    compiled = _compiled(spec, canary=name == study.its_canary)
    return explain_line(Origins(compiled, study, tree, catalog), file, path, line)
