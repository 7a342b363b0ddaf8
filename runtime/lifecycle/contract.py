"""Read a job's contract, check its inputs against what they were compiled as, and give the job's code what it needs.

A contract is the JSON beside a job's script; docs/design.md section 3 shows one. Paths of artifacts in it are relative
to the store, the path of the config to the study's generated folder, which is the one that holds `jobs/`.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import InputError, JobError
from runtime.job import Input, Job
from runtime.store import attempts, markers

VERSION = 1


@dataclass(frozen=True)
class Contract:
    """What one job reads, writes and must be. Paths are absolute; `code` is the version its kind was compiled for.

    `steps` are those whose checkpoints other jobs need, beside the last one. `environment` is where it runs, with the hash of
    the lock of what is installed there, null where nothing says.
    """

    job: str
    kind: str
    study: str
    code: int
    fingerprint: str
    cell: Mapping[str, str] | None
    config: Path
    inputs: Mapping[str, Input]
    output_type: str
    out: Path
    steps: tuple[int, ...]
    environment: Mapping[str, str | None]


def load(path: Path, store: Path) -> Contract:
    """Return the contract at `path`. Raises JobError where it cannot be read or is not of this version."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise JobError(f"{path}: cannot read this contract ({error.strerror}); compile the study again") from error
    except ValueError as error:
        raise JobError(f"{path}: not a contract ({error}); compile the study again") from error
    try:
        return _contract(fields, path, store)
    except (KeyError, TypeError, AttributeError) as error:
        raise JobError(f"{path}: not a whole contract (at {error}); compile the study again") from error


def _contract(fields: Mapping[str, Any], path: Path, store: Path) -> Contract:
    if fields["lethe"] != VERSION:
        raise JobError(f"{path}: a contract of format {fields['lethe']}, but this runtime reads {VERSION}; compile again")
    generated = next(folder.parent for folder in path.absolute().parents if folder.name == "jobs")
    return Contract(
        job=fields["job"],
        kind=fields["kind"],
        study=fields["study"],
        code=fields["code"],
        fingerprint=fields["fingerprint"],
        cell=fields["cell"],
        config=generated / fields["config"],
        inputs={name: _input(item, store) for name, item in fields["inputs"].items()},
        output_type=fields["output"]["type"],
        out=store.absolute() / fields["output"]["path"],
        steps=tuple(fields["output"].get("steps", ())),
        environment=fields.get("environment", {}),
    )


def _input(item: Mapping[str, Any], store: Path) -> Input:
    return Input(item["job"], item["type"], store.absolute() / item["path"], item["fingerprint"], item["required"])


def job_of(contract: Contract) -> Job:
    """Return what the job's code is given, its config parsed. Raises JobError for a config that is no YAML mapping."""
    return Job(
        id=contract.job,
        kind=contract.kind,
        study=contract.study,
        fingerprint=contract.fingerprint,
        cell=contract.cell,
        config=_config(contract.config),
        inputs=contract.inputs,
        out=contract.out,
    )


def _config(path: Path) -> Mapping[str, Any]:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise JobError(f"{sys.prefix} has no PyYAML, which every job needs: install the environment's lock again") from error
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise JobError(f"{path}: cannot read this config ({error.strerror}); compile the study again") from error
    except yaml.YAMLError as error:
        raise JobError(f"{path}: not YAML: {error}") from error
    if not isinstance(value, dict):
        raise JobError(f"{path}: a config must be a mapping of settings; compile the study again")
    return value


def guard(contract: Contract) -> None:
    """Raise InputError, naming every culprit, unless each required input is done with its compiled fingerprint."""
    problems = [_problem(name, item) for name, item in contract.inputs.items() if item.required]
    found = [problem for problem in problems if problem]
    if found:
        listed = "\n".join(f"  {problem}" for problem in found)
        raise InputError(f"{contract.job} cannot start, its inputs are not what it was compiled against:\n{listed}")


def _problem(name: str, item: Input) -> str | None:
    marker = markers.read(item.path)
    if marker is None:
        short = attempts.truncated(item.path)
        if short:
            return f"{name}: {item.job} is truncated ({short.get('why')}); let it go on first"
        return f"{name}: {item.job} is not done (no {markers.NAME} in {item.path}); run that job first"
    moved = markers.archived_to(item.path)
    if moved:
        copy, remove = ["cp", "-r", f"{moved}/.", str(item.path)], ["rm", str(item.path / markers.ARCHIVED)]
        return f"{name}: {item.job} was archived; copy it back: {shlex.join(copy)} && {shlex.join(remove)}"
    if marker.fingerprint != item.fingerprint:
        return (
            f"{name}: {item.path} carries fingerprint {marker.fingerprint[:12]}, not {item.fingerprint[:12]}; "
            f"compile the study again, then run {item.job}"
        )
    return None
