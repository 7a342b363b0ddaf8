"""What can stand on a side of a comparison: a spec, a compiled plan, or either of them as git has it at a revision."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.diagnostics import SpecError, TreeError

if TYPE_CHECKING:
    from compiler.plan.plan import Plan

PLAN = "plan.json"


@dataclass(frozen=True)
class Side:
    """One side: the words that named it, its plan, and what is to be said of how that was had."""

    name: str
    plan: Plan
    note: str = ""


def read_side(word: str) -> Side:
    """The plan that a word on the command line means. Raises SpecError and TreeError."""
    return _at_revision(word) if _is_revision(word) else Side(word, _plan_at(Path(word)))


def is_no_spec(word: str) -> bool:
    """Whether a word means a compiled plan, or something that only git has."""
    return word.endswith(".json") or Path(word).is_dir() or _is_revision(word)


def _is_revision(word: str) -> bool:
    return ":" in word and not Path(word).exists()


def _plan_at(path: Path) -> Plan:
    """The plan in a file or a generated folder, or what a spec compiles to."""
    from compiler.pipeline import compile_study
    from compiler.plan.plan import read_plan

    if path.is_dir():
        return read_plan(path / PLAN)
    return read_plan(path) if path.suffix == ".json" else compile_study(path).plan


def _at_revision(word: str) -> Side:
    revision, _, name = word.partition(":")
    if Path(name).is_absolute() or not name or not revision:
        raise TreeError(
            f"'{word}' is neither a file nor REVISION:FILE, such as HEAD:specs/phase1.yaml with the file seen from here."
        )
    if Path(name).suffix in (".yaml", ".yml"):
        return Side(word, _compiled(revision, name), f"{word} is compiled with today's compiler, templates and job code")
    shown = name if name.endswith(".json") else f"{name.rstrip('/')}/{PLAN}"
    return Side(word, _planned(revision, shown))


def _planned(revision: str, name: str) -> Plan:
    """A plan that was committed."""
    from compiler.plan.plan import read_plan

    text = _git("show", f"{revision}:./{name}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PLAN
        path.write_bytes(text)
        try:
            return read_plan(path)
        except TreeError as error:
            shown = str(error).replace(str(path), f"{revision}:{name}").replace(" Compile the study again.", "")
            raise TreeError(f"{shown} Compare the spec of that revision: lethe diff {revision}:specs/STUDY.yaml ...") from error


def _compiled(revision: str, name: str) -> Plan:
    """What the spec of a revision compiles to, with the catalog of that revision beside it."""
    from compiler.pipeline import compile_study

    top = Path(name).parts[0] if len(Path(name).parts) > 1 else "."
    archive = _git("archive", "--format=tar", revision, top)
    with tempfile.TemporaryDirectory() as folder:
        _unpack(archive, Path(folder))
        try:
            return compile_study(Path(folder) / name).plan
        except SpecError as error:
            raise _placed(error, folder, f"{revision}:") from error


def _unpack(archive: bytes, folder: Path) -> None:
    """Write the regular files of an archive that git made, whose names never leave the folder."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as found:
        for member in found:
            content = found.extractfile(member) if member.isfile() else None
            if content is not None:
                path = folder / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())


def _placed(error: SpecError, folder: str, instead: str) -> SpecError:
    """The same mistakes, at places in the revision."""
    found = []
    for diagnostic in error.diagnostics:
        _, inside, file = diagnostic.position.file.rpartition(f"{Path(folder).name}/")
        place = replace(diagnostic.position, file=instead + file) if inside else diagnostic.position
        found.append(replace(diagnostic, position=place))
    return SpecError(found)


def _git(*words: str) -> bytes:
    try:
        done = subprocess.run(["git", *words], capture_output=True, check=False)
    except FileNotFoundError as error:
        raise TreeError("there is no git here, and REVISION:FILE needs it.") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise TreeError(f"git {' '.join(words)}: {said[0].removeprefix('fatal: ')}")
    return done.stdout
