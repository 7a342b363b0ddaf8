"""What a study's artifacts take, what is still to come, and what the site will delete; keeping and archiving them.

A file's last use is the later of its access and its change: sites that delete what nobody used look at one of these. What was
there is remembered in the inventory, `$LETHE_STORE/ledger/STUDY.inventory.json`, so that what was lost can be named afterwards.
"""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runtime.errors import JobError
from runtime.job import write_json
from runtime.operations import archive
from runtime.operations.status.study import PlannedJob, Study, read_names, read_study
from runtime.store import markers

DAY = 86_400.0
INCOMPLETE = 3
SOON = 14.0  # days within which a deletion is called near
MOST_LINES = 20
MOST_FILES = 100_000  # touched in one call, unless told otherwise


@dataclass(frozen=True)
class Artifact:
    """What is in the store of one job: its bytes and files, and when (since 1970) the file unused longest was last used."""

    job: str
    folder: str
    bytes: int
    files: int
    used: float
    archived: str = ""


@dataclass(frozen=True)
class Forecast:
    """Bytes that are there, that checkpoints not yet made will take, and that may be there; jobs whose size nobody knows."""

    there: int
    to_come: float
    unknown: int
    quota: float | None
    free: int

    @property
    def is_enough(self) -> bool:
        """Whether there is room for all of it, as far as it is known."""
        fits_disk = self.to_come <= self.free
        return fits_disk and (self.quota is None or self.there + self.to_come <= self.quota)


def run(arguments: Namespace) -> int:
    """Do what `storage` asks. Returns 0; 3 where there is no room for the rest, or something is lost. Raises JobError."""
    study = read_study(arguments.plan, arguments.store)
    names = read_names(arguments.jobs)
    jobs = [job for job in study.jobs if names is None or job["id"] in names]
    if arguments.archive:
        return archive.run(study, jobs, arguments.archive, arguments.remove, arguments.json)
    if arguments.keep:
        return keep(study, jobs, arguments.most or MOST_FILES, arguments.json)
    return show(study, jobs, arguments.quota, arguments.purge_days, arguments.json)


# ---- what is there --------------------------------------------------------------------------------------------------


def artifacts(study: Study, jobs: Sequence[PlannedJob]) -> list[Artifact]:
    """What is in the store of these jobs, in the plan's order. A link to another job's artifact takes nothing."""
    return [_artifact(study, job) for job in jobs if study.out(job).is_dir() and not study.out(job).is_symlink()]


def _artifact(study: Study, job: PlannedJob) -> Artifact:
    folder = study.out(job)
    stats = [path.stat() for path in files_in(folder)]
    used = min((max(stat.st_atime, stat.st_mtime) for stat in stats), default=time.time())
    size = sum(stat.st_size for stat in stats)
    return Artifact(job["id"], folder.name, size, len(stats), used, markers.archived_to(folder))


def files_in(folder: Path) -> Iterator[Path]:
    """The regular files of a folder, however deep; nothing behind links."""
    for path, folders, names in os.walk(folder):
        folders.sort()
        yield from (file for name in sorted(names) if not (file := Path(path, name)).is_symlink() and file.is_file())


def forecast(study: Study, jobs: Sequence[PlannedJob], there: Sequence[Artifact], quota: float | None) -> Forecast:
    """What the jobs that are not done will add to that."""
    todo = [job for job in jobs if not study.is_done(job)]
    sizes = [job.get("cost", {}).get("storage") for job in todo]
    known = sum(float(size) for size in sizes if size is not None)
    has = {item.job: item.bytes for item in there}
    begun = sum(min(has.get(job["id"], 0), float(size or 0)) for job, size in zip(todo, sizes, strict=True))
    unknown = sum(size is None and "checkpoint" in str(job.get("output")) for job, size in zip(todo, sizes, strict=True))
    return Forecast(sum(item.bytes for item in there), known - begun, unknown, quota, _free(study.store))


def _free(store: Path) -> int:
    """Bytes that this user may still write there, as the file system says."""
    there = next(path for path in (store, *store.parents) if path.exists())
    found = os.statvfs(there)
    return found.f_bavail * found.f_frsize


# ---- what is told ---------------------------------------------------------------------------------------------------


def show(study: Study, jobs: Sequence[PlannedJob], quota: float | None, days: float | None, as_json: bool) -> int:
    """Print the forecast, what the site will delete and when, and what is lost."""
    there = artifacts(study, jobs)
    found = forecast(study, jobs, there, quota)
    due = sorted(((item.used + days * DAY, item) for item in there if not item.archived), key=lambda p: p[0]) if days else []
    gone = lost(study, jobs)
    if as_json:
        document = {
            "lethe": 1, "study": study.name, "store": str(study.store), **asdict(found), "enough": found.is_enough,
            "purge_days": days, "artifacts": [asdict(item) for item in there], "lost": gone,
            "due": [{"job": item.job, "bytes": item.bytes, "on": _date(when)} for when, item in due],
        }  # fmt: skip
        print(json.dumps(document, indent=1))
    else:
        print("\n".join([*_told(study, found), *_told_due(days, due), *_told_lost(gone)]))
    return 0 if found.is_enough and not gone else INCOMPLETE


def _told(study: Study, found: Forecast) -> Iterator[str]:
    yield f"{study.name} in {study.store}: {shown(found.there)} there, about {shown(found.to_come)} of checkpoints to come"
    if found.unknown:
        yield f"  {found.unknown} jobs make checkpoints of a size that nobody knows; give their scale `parameters`"
    if found.quota is not None:
        left = found.quota - found.there
        yield f"  quota {shown(found.quota)}: {shown(max(0.0, left))} beside this study's own" + (
            "" if left >= found.to_come else "; TOO LITTLE for what is to come"
        )
    short = "" if found.free >= found.to_come else "; TOO LITTLE for what is to come"
    yield f"  the file system has {shown(found.free)} left{short}"


def _told_due(days: float | None, due: Sequence[tuple[float, Artifact]]) -> Iterator[str]:
    if days is None:
        yield "nothing is known of deletions there (the cluster has no `purge`)"
        return
    near = [(when, item) for when, item in due if when < time.time() + SOON * DAY]
    yield f"deleted after {days:g} days without use: " + (
        f"{len(near)} artifacts within {SOON:g} days" if near else f"nothing within {SOON:g} days" + _first(due)
    )
    yield from (f"  {_date(when)}  {shown(item.bytes):>8}  {item.job}" for when, item in near[:MOST_LINES])
    if len(near) > MOST_LINES:
        yield f"  and {len(near) - MOST_LINES} more; --json lists all"


def _first(due: Sequence[tuple[float, Artifact]]) -> str:
    return f"; the first is {due[0][1].job} on {_date(due[0][0])}" if due else ""


def _told_lost(gone: Sequence[dict[str, Any]]) -> Iterator[str]:
    for item in gone[:MOST_LINES]:
        yield f"lost: {item['job']} ({shown(item['bytes'])}), last seen {_date(item['seen'])}"
    if gone:
        yield f"lost: {len(gone)} artifacts that were done; submit_all.sh makes them again where something needs them"


def _date(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d")


def shown(count: float) -> str:
    """A number of bytes with the largest unit that leaves at least one, such as 1.5G."""
    power = max((power for power in range(1, 5) if count >= 1024**power), default=1)
    return f"{count / 1024**power:,.1f}{'KMGT'[power - 1]}"


# ---- what is remembered, and kept -----------------------------------------------------------------------------------


def inventory_file(study: Study) -> Path:
    """Where it is remembered what was there."""
    return study.store / "ledger" / f"{study.name}.inventory.json"


def remember(study: Study, there: Sequence[Artifact]) -> None:
    """Note the artifacts that are done, by folder, beside those that were noted before."""
    done = {str(study.out(job).relative_to(study.store)): job["id"] for job in study.jobs if study.is_done(job)}
    found = {key: item for item in there if (key := f"{item.job.partition('/')[0]}/{item.folder}") in done}
    noted = {
        key: {"job": item.job, "bytes": item.bytes, "files": item.files, "seen": time.time()} for key, item in found.items()
    }
    inventory_file(study).parent.mkdir(parents=True, exist_ok=True)
    write_json(inventory_file(study), {**_inventory(study), **noted})


def _inventory(study: Study) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(inventory_file(study).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def lost(study: Study, jobs: Sequence[PlannedJob]) -> list[dict[str, Any]]:
    """What was done, as the inventory or the ledger say, and is there no more, or no more whole."""
    noted = _inventory(study)
    found = []
    for job in jobs:
        key = str(study.out(job).relative_to(study.store))
        entry = study.entry(job)
        was_done = key in noted or (entry is not None and entry.event == "done")
        if was_done and not study.is_done(job):
            found.append({"job": job["id"], "bytes": 0, "seen": 0.0, **noted.get(key, {})})
        elif key in noted and _shrank(study.out(job), noted[key]):
            found.append({**noted[key], "job": job["id"]})
    return found


def _shrank(folder: Path, noted: dict[str, Any]) -> bool:
    return not markers.archived_to(folder) and sum(1 for _ in files_in(folder)) < int(noted.get("files", 0))


def keep(study: Study, jobs: Sequence[PlannedJob], most: int, as_json: bool) -> int:
    """Touch the files of all these jobs' finished artifacts, those first that would be deleted first; at most `most`."""
    done = [job for job in jobs if study.is_done(job)]
    there = sorted(artifacts(study, done), key=lambda item: item.used)
    by_id = {job["id"]: job for job in done}
    paths = [path for item in there for path in files_in(study.out(by_id[item.job]))]
    touched = sum(map(_touch, paths[:most]))
    remember(study, there)
    left = len(paths) - touched
    if as_json:
        print(
            json.dumps({"lethe": 1, "study": study.name, "touched": touched, "left": left, "artifacts": len(there)}, indent=1)
        )
    else:
        print(f"{study.name}: touched {touched} files of {len(there)} artifacts" + (f"; {left} are left" if left else ""))
    if left:
        print("note: run it again with a larger --most, or choose fewer jobs", file=sys.stderr)
    return INCOMPLETE if left else 0


def _touch(path: Path) -> bool:
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except PermissionError as error:
        raise JobError(f"{path} belongs to somebody else, who has to keep it ({error.strerror})") from error
    return True
