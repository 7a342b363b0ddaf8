"""Where a line of a generated file comes from: the values that decide it, with their sources, and its template."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from compiler import backends
from compiler.diagnostics import Position, TreeError
from compiler.explain.configs import default_of, uncited
from compiler.explain.perturb import Decided, deciding
from compiler.explain.pieces import COUNTED, Piece, Scene, pieces
from compiler.explain.values import Value, told, values_of
from compiler.language.catalog import Catalog
from compiler.language.places import Cluster
from compiler.language.source import PathKey, Tree
from compiler.language.study import Study, Tracking
from compiler.language.validation import Strict
from compiler.lower.sources import Said
from compiler.output.emit import dispatcher
from compiler.output.sums import SUMS
from compiler.pipeline import Compiled
from compiler.select.grammar import SelectionError, no_such

EDITED = "The file is not what its study compiles to now; this is the line of what it compiles to."
OPEN: Mapping[str | int, type[Strict]] = {"tracking": Tracking, "cluster": Cluster}
LITERAL = 2  # characters of a template's line that must stand in a line, before it can be said to come from there


@dataclass(frozen=True)
class Line:
    """A line explained. `edited` where the file on disk is another; `template` where the line's own text stands."""

    file: str
    number: int
    text: str
    edited: bool
    values: tuple[Value, ...]
    presence: tuple[Value, ...]
    template: str

    def as_json(self) -> dict[str, Any]:
        return {
            "file": self.file, "line": self.number, "text": self.text, "edited": self.edited, "template": self.template or None,
            "decided_by": [value.as_json() for value in self.values], "there_by": [value.as_json() for value in self.presence],
        }  # fmt: skip

    def told(self) -> list[str]:
        """The same for people."""
        lines = [EDITED] if self.edited else []
        lines += [f"{self.file}:{self.number}: {self.text.strip()}"]
        for heading, values in (("decided by", self.values), ("there because of", self.presence)):
            lines += [f"\n{heading}", *(f"  {text}" for value in values for text in told(value))] if values else []
        if self.values or self.presence:
            return [*lines, f"\nits form is that of {self.template}"] if self.template else lines
        where = f"it stands in {self.template}" if self.template else "it is the same in every study"
        return [*lines, f"\nno value decides this line: {where}"]


@dataclass(frozen=True)
class Origins:
    """A compiled study with all that its values can be traced back to."""

    compiled: Compiled
    study: Study
    tree: Tree
    catalog: Catalog

    @cached_property
    def cluster(self) -> Cluster:
        return self.catalog.get(Cluster, self.study.cluster, self.tree.at(("cluster",)))


def spec_of(file: Path) -> tuple[Path, str, str]:
    """The spec that a generated file comes from, the file's path below its study's folder, and the study: the spec's own, or
    its canary. Raises SelectionError."""
    for folder in file.parents:
        if (folder / "plan.json").is_file():
            spec, study = _spec(folder / "plan.json")
            return spec, file.relative_to(folder).as_posix(), study
    raise SelectionError(
        f"{file} is in no study's generated folder\n  hint: name a file below generated/STUDY, such as its PLAN.md"
    )


def _spec(plan: Path) -> tuple[Path, str]:
    try:
        found = json.loads(plan.read_text(encoding="utf-8"))
        return Path(found["spec"]), str(found["study"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TreeError(f"{plan} is not a plan: {error}. Compile the study again.") from error


def shared(file: Path, number: int) -> Line | None:
    """A line of what is the same for every study: generated/submit_all.sh. None for any other file."""
    lines = dispatcher().splitlines()
    if file.name != "submit_all.sh" or (file.parent / "plan.json").is_file() or not 1 <= number <= len(lines):
        return None
    edited = not file.is_file() or file.read_text(encoding="utf-8") != dispatcher()
    return Line(str(file), number, lines[number - 1], edited, (), (), f"templates/dispatch.sh:{number}")


def explain_line(origins: Origins, file: Path, path: str, number: int) -> Line:
    """Where line `number` of a generated file comes from. Raises SelectionError when there is no such line."""
    files = origins.compiled.files
    if path not in files:
        raise no_such(f"study '{origins.study.study}'", "generated file", path, files)
    lines = files[path].splitlines()
    if not 1 <= number <= len(lines):
        raise SelectionError(f"{file} has {len(lines)} lines, and no line {number}")
    edited = not file.is_file() or file.read_text(encoding="utf-8") != files[path]
    text = lines[number - 1]
    if path == SUMS:
        return Line(str(file), number, text, edited, (_hash_of(text, str(file.parent)),), (), "")
    scene = Scene(origins.compiled.plan, origins.cluster, origins.study.tracking, origins.compiled.sources)
    found = [(piece, decided) for piece in pieces(scene, path, files[path], number - 1) for decided in _decided(piece)]
    values = [(decided.presence_only, _value(origins, piece, decided)) for piece, decided in found]
    piece = pieces(scene, path, files[path], number - 1)[0]
    template = default_of(piece, files[path], number - 1) or _template(piece.templates, uncited(piece, text))
    return Line(
        str(file), number, text, edited, tuple(value for presence, value in values if not presence),
        tuple(value for presence, value in values if presence), template,
    )  # fmt: skip


def _hash_of(line: str, folder: str) -> Value:
    digest, _, path = line.partition("  ")
    return Value(path, ("sha256",), digest, "", (Said(f"the text of {folder}/{path}", None, digest),))


def _decided(piece: Piece) -> list[Decided]:
    found = deciding(piece.data, piece.render, piece.index, lambda path: _allowed(piece, path))
    return [one for one in found if not (one.presence_only and one.path in [("plan", name) for name in COUNTED])]


def _allowed(piece: Piece, path: Sequence[str | int]) -> Sequence[Any]:
    """The other values that a schema allows where it lists them."""
    job, (root, *steps) = piece.scene.job, path
    if root in OPEN and steps:
        field = OPEN[root].model_fields.get(str(steps[0]))
        return get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()
    if job is None or root != "job" or len(steps) != 2:
        return ()
    groups = backends.part(job.backend, job.what, Position(job.id)).schema["properties"]
    return tuple(groups.get(str(steps[0]), {}).get("properties", {}).get(str(steps[1]), {}).get("enum", ()))


# ---- what says it ---------------------------------------------------------------------------------------------------

MADE: Mapping[str, str] = {
    "id": "the planner's names for jobs: kind, and cell, definition or model",
    "fingerprint": "the hash of the job's config, code version and inputs",
    "code": "the version of the kind's code in runtime/manifest.json",
    "backend": "the definition that the job is made for", "what": "the definition that the job is made for",
    "environment": "backend.yaml of the job's backend", "output": "backend.yaml of the job's backend, or the definition",
    "cost": "counted from settings, rows, time limit and weights",
    "train": "the job that makes the cell's final checkpoint", "before": "the job that measures the cell's start",
    "after": "the job that measures the cell's final checkpoint", "points": "the jobs that measure checkpoints on the way",
    "trained": "the domain's definition", "lock": "the files of the environment's lock, hashed",
}  # fmt: skip


def _value(origins: Origins, piece: Piece, decided: Decided) -> Value:
    """A value that decides a line, with its sources."""
    root, path, job = str(decided.path[0]), decided.path[1:], piece.scene.job
    field = tuple(str(step) for step in path)
    if root == "job" and job:
        for value in values_of(job, origins.compiled.sources[job.id]):
            if value.field == field[: len(value.field)]:
                return value
        return Value(job.id, field, decided.value, "", _of_job(origins, piece, path, decided.value))
    owner = {"plan": "study", "cell": piece.scene.cell.id if piece.scene.cell else "", "environment": "cluster"}.get(root, root)
    named = ("environments", *([job.environment] if job else []), *field) if root == "environment" else field
    return Value(owner, named, decided.value, "", _of_study(origins, root, path, decided.value, named))


def _of_job(origins: Origins, piece: Piece, path: PathKey, value: Any) -> tuple[Said, ...]:
    """What says a job's other fields: the axes of its cell, the jobs that it reads from, the planner."""
    if path[0] == "cell" and path[1:]:
        return (_axis(origins, str(path[1]), value),)
    if path[0] == "inputs" and len(path) > 1 and piece.scene.job:
        return (Said(f"job {piece.scene.job.inputs[int(path[1])].job}", None, value),)
    if path[0] == "after":
        return (Said("the job's environment, which is tried out before", None, value),)
    return (Said(MADE.get(str(path[0]), "the planner"), None, value),)


def _of_study(origins: Origins, root: str, path: PathKey, value: Any, named: PathKey) -> tuple[Said, ...]:
    """What says a value of the study, its cluster, its tracking or one of its cells."""
    name = str(path[0]) if path else ""
    if root == "cell":
        axis = name == "axes" and len(path) > 1
        return (_axis(origins, str(path[1]), value) if axis else Said(MADE.get(name, "its axes"), None, value),)
    if name == "axes" and path[2:]:
        return (_axis(origins, str(path[1]), value),)
    if root == "tracking":
        return _said(origins.tree.labelled("the study"), ("tracking", *path)) or (Said("default", None, value),)
    if root in ("cluster", "environment") or name in ("store", "executor"):
        chain = _said(origins.catalog.trees["clusters", origins.study.cluster], named)
        return chain or (Said("default", None, value),)
    made = {"spec": "the file that was compiled", "cells": "the axes and the rules", "jobs": "what the cells need",
            "warnings": "what compiling warns of", "axes": "the study's axes",
            "gate": "whether the study waits for its canary"}  # fmt: skip
    if name == "rules" and path[1:]:
        rule = origins.study.rules[int(path[1])]
        return (Said(f"rule '{rule.name}'", origins.tree.at(("rules", *path[1:3])), value),)
    return _said(origins.tree.labelled("the study"), (name,)) or (Said(made.get(name, "the compiler"), None, value),)


def _axis(origins: Origins, axis: str, value: Any) -> Said:
    """Where the study names a value of an axis."""
    values = origins.tree.data["axes"].get(axis, ())
    step = next((key for key, found in _named(values) if str(found) == str(value)), None)
    at = origins.tree.at(("axes", axis) if step is None else ("axes", axis, step))
    return Said(f"axis {axis} of the study", at, value)


def _named(values: Any) -> list[tuple[str | int, Any]]:
    return [(name, name) for name in values] if isinstance(values, dict) else list(enumerate(values))


def _said(tree: Tree, path: PathKey) -> tuple[Said, ...]:
    return tuple(Said(label, at if at.line else None, value) for label, at, value in tree.chain(path))


# ---- the template ---------------------------------------------------------------------------------------------------


def _template(names: Sequence[str], line: str) -> str:
    """The only line of the templates that a line can come from; where there are several, or none, the one template."""
    texts = {name: backends.template_file(name).read_text(encoding="utf-8").splitlines() for name in names}
    written = [(f"templates/{name}:{number}", text.strip()) for name in names for number, text in enumerate(texts[name], 1)]
    same = [place for place, text in written if text == line.strip()]
    fitting = same or [place for place, text in written if _fits(text, line.strip())]
    if len(fitting) == 1:
        return fitting[0]
    return f"templates/{names[0]}" if len(names) == 1 else ""


def _fits(template: str, line: str) -> bool:
    """Whether a line of a template can become `line`, what it takes from values standing for any text."""
    literals = re.split(r"\{\{.*?\}\}|\{%.*?%\}", template)
    said = len("".join(literals).strip()) >= LITERAL
    return said and re.fullmatch(".*".join(map(re.escape, literals)), line) is not None
