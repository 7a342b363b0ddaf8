"""Copy finished artifacts elsewhere, with a manifest of hashes that is verified; then, if asked, remove the originals.

    DIR/STUDY.sha256            hash and path of every file, as `sha256sum -c` reads it from within DIR
    DIR/KIND/NAME-FINGERPRINT/  the artifact as it was in the store, to be copied back as it is

Of an artifact that was removed the done-marker stays, and `ARCHIVED.json` beside it says where it is now; so the study
counts as done, and a job that needs it is told what to copy back. It is removed only when nothing of the plan still has
to read it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.errors import JobError
from runtime.job import write_json, write_text
from runtime.operations.status.study import PlannedJob, Study
from runtime.store import markers

BLOCK = 1 << 20


def run(study: Study, jobs: Sequence[PlannedJob], target: Path, remove: bool, as_json: bool) -> int:
    """Archive what of `jobs` is done into `target`; return 0. Raises JobError where a copy is not what was copied."""
    if target.resolve().is_relative_to(study.store.resolve()):
        raise JobError(f"{target} lies within the store, so it is no archive of it; name another folder")
    done = [
        job
        for job in jobs
        if study.is_done(job) and not markers.archived_to(study.out(job)) and not study.out(job).is_symlink()
    ]
    hashes = {path: digest for job in done for path, digest in _copied(study, job, target).items()}
    _note(target / f"{study.name}.sha256", hashes)
    needed = _still_read(study) if remove else set()
    removed = [job for job in done if remove and job["id"] not in needed]
    for job in removed:
        _remove(study, job, target, hashes)
    _say(study, done, removed, sorted(needed & {job["id"] for job in done}), target, as_json)
    return 0


def _copied(study: Study, job: PlannedJob, target: Path) -> dict[str, str]:
    """Copy one artifact, and read the copy again: the hash of each file, by its path in the archive."""
    source, at = study.out(job), study.out(job).relative_to(study.store)
    found: dict[str, str] = {}
    for path in _files(source):
        inside = at / path.relative_to(source)
        copy = target / inside
        copy.parent.mkdir(parents=True, exist_ok=True)
        digest = _hash(path)
        if not copy.exists() or _hash(copy) != digest:
            part = copy.with_name(f".{copy.name}.part")
            shutil.copy2(path, part)
            part.replace(copy)
        if _hash(copy) != digest:
            raise JobError(f"{copy} is not what {path} is, although it was just copied; nothing was removed. Look at that disk")
        found[str(inside)] = digest
    return found


def _files(folder: Path) -> Iterator[Path]:
    """The files of an artifact, also behind the links in it, such as that to its latest attempt; no folder twice."""
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not Path(path, name).is_symlink())
        yield from (Path(path, name) for name in sorted(names) if Path(path, name).is_file())


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _note(manifest: Path, hashes: Mapping[str, str]) -> None:
    """Add these hashes to the archive's manifest. Raises JobError for a path that sha256sum's form cannot hold."""
    before = manifest.read_text(encoding="utf-8").splitlines() if manifest.exists() else []
    known = {line.partition("  ")[2]: line.partition("  ")[0] for line in before}
    bad = next((path for path in hashes if "\n" in path or "\\" in path), None)
    if bad is not None:
        raise JobError(f"{bad!r} has a name that no manifest can hold; rename that file")
    manifest.parent.mkdir(parents=True, exist_ok=True)
    write_text(manifest, "".join(f"{digest}  {path}\n" for path, digest in sorted({**known, **hashes}.items())))


def _still_read(study: Study) -> set[str]:
    """The jobs whose artifacts some job that is not done will read."""
    return {edge["job"] for job in study.jobs if not study.is_done(job) for edge in job["inputs"]}


def _remove(study: Study, job: PlannedJob, target: Path, hashes: Mapping[str, str]) -> None:
    """Remove an artifact's files but its done-marker, once it stands beside them where they are."""
    folder = study.out(job)
    at = str(folder.relative_to(study.store))
    own = {path: digest for path, digest in hashes.items() if path.startswith(f"{at}/")}
    files = [{"path": path.removeprefix(f"{at}/"), "sha256": digest} for path, digest in own.items()]
    write_json(folder / markers.ARCHIVED, {"lethe": 1, "job": job["id"], "to": str(target.absolute() / at), "files": files})
    for path in _files(folder):
        if path.name not in (markers.ARCHIVED, markers.NAME):
            path.unlink()


def _say(
    study: Study, done: Sequence[PlannedJob], removed: Sequence[PlannedJob], kept: Sequence[str], target: Path, as_json: bool
) -> None:
    if as_json:
        facts: dict[str, Any] = {"archived": [job["id"] for job in done], "removed": [job["id"] for job in removed]}
        print(json.dumps({"lethe": 1, "study": study.name, "to": str(target), **facts, "still_needed": [*kept]}, indent=1))
        return
    print(f"{study.name}: {len(done)} artifacts are in {target}, verified; check them any time: cd {target} && "
          f"sha256sum -c {study.name}.sha256")  # fmt: skip
    if removed:
        print(
            f"{study.name}: {len(removed)} of them are removed from {study.store}; {markers.ARCHIVED} there says what was there"
        )
    if kept:
        print(f"note: jobs that are not done will read {len(kept)} of them, which stay: {' '.join(kept[:5])}", file=sys.stderr)
