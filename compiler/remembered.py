"""Whether compiling a spec would only write what is there: then it need not be compiled.

When a study was compiled, the hash of all that compiling read is remembered in the user's cache, with what there was to say.
If that hash is the same the next time, and every file of the generated folder still has the hash that its manifest.sha256
says, which is remembered, too, then the result is known. It is a cache: where it is lost, all is as without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from compiler.diagnostics import SpecError
from compiler.language.source import read_tree
from compiler.output.sums import SUMS, edited_by_hand, hash_of

if TYPE_CHECKING:
    from compiler.pipeline import Compiled

ROOT = Path(__file__).parent.parent
OWN = ("compiler/**/*.py", "templates/**/*", "runtime/manifest.json")  # what else decides what a spec becomes
LIBRARIES = Path(yaml.__file__).parent.parent
DISPATCHER = ROOT / "templates" / "dispatch.sh"


@dataclass(frozen=True)
class Remembered:
    """What was compiled: a hash of all that was read, one of all that was written, and the plan without axes, cells, jobs.

    `others` are hashes of files that were read beside spec, catalog and Lethe's own: locks, and other packages' backends.
    """

    inputs: str
    others: Mapping[str, str | None]
    manifest: str
    cells: int
    jobs: int
    files: int
    plan: Mapping[str, Any]


def inputs(spec: Path) -> tuple[str, str] | None:
    """The study's name, and the hash of all that compiling `spec` reads; None where the spec does not say what that is."""
    try:
        data = read_tree(spec).data
    except SpecError:
        return None
    name, folders = data.get("study"), data.get("catalog", ["catalog"])
    if not isinstance(name, str) or not isinstance(folders, list) or not all(isinstance(one, str) for one in folders):
        return None
    beside = [spec, spec.with_suffix(".lock"), spec.with_name(f"{spec.stem}.selection.yaml")]
    read = [*beside, *(file for folder in folders for file in sorted((spec.parent / folder).rglob("*.yaml")))]
    read += [file for pattern in OWN for file in sorted(ROOT.glob(pattern))]
    said = [sys.version, os.path.relpath(spec), *sorted(one.name for one in LIBRARIES.glob("*-info"))]
    return name, _hash([*said, *(f"{file} {hash_of(str(file))}" for file in read)])


def recall(generated: Path, found: tuple[str, str] | None) -> Remembered | None:
    """What was compiled of these inputs, if it is what stands below `generated`. Raises TreeError."""
    try:
        folder = generated / (found[0] if found else "")
        known = Remembered(**json.loads(_place(folder).read_text(encoding="utf-8")))
        same = found is not None and known.inputs == found[1] and known.manifest == hash_of(str(folder / SUMS))
        same = same and all(hash_of(file) == digest for file, digest in known.others.items())
        same = same and hash_of(str(generated / "submit_all.sh")) == hash_of(str(DISPATCHER))
    except (OSError, ValueError, TypeError):
        return None
    return known if same and not edited_by_hand(folder) else None


def remembered(folder: Path, compiled: Compiled, inputs: str) -> Remembered:
    """What is to be remembered of a study that stands in `folder` now."""
    plan = compiled.plan
    rest = {**asdict(replace(plan, cells=(), jobs=())), "axes": {}}
    others = {str(file): hash_of(str(file)) for file in compiled.read}
    written = str(hash_of(str(folder / SUMS)))
    return Remembered(inputs, others, written, len(plan.cells), len(plan.jobs), len(compiled.files), rest)


def remember(folder: Path, known: Remembered) -> None:
    """Keep what was compiled into `folder`, where the cache can be written."""
    place = _place(folder)
    part = place.with_name(f"{place.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(asdict(known)), encoding="utf-8")
        part.replace(place)


def _place(folder: Path) -> Path:
    """The file of the cache that is about a generated folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "lethe" / f"{_hash([str(folder.resolve())])}.json"


def _hash(words: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()
