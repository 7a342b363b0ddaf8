"""`lethe storage SPEC [keep | archive DIR] [SELECT]`: what a study's artifacts take, and what becomes of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from compiler.verbs import choosing, runtime

ABOUT = "what a study's artifacts take and will take, what the site will delete; keep or archive them"

STORAGE = """\
Without more it forecasts: bytes that are there, checkpoints still to come (as the plan estimates them), the quota of the
cluster and the room of its file system; what the site deletes next (the cluster's `purge: {days: N}`, counted from the last
access or change of the file used longest ago); and what was done once and is there no more.

  keep         touch the files of what is done, those first that would be deleted first, at most --most of them, and note what
               is there. Some sites do not allow this: ask them, or archive.
  archive DIR  copy what is done to DIR with a manifest of hashes, and verify the copies. With --remove the originals go, but
               not what jobs still to come will read; their done-markers stay, and ARCHIVED.json beside them says where the
               rest is.

for instance:
  lethe storage specs/phase1.yaml                                             the forecast
  lethe storage specs/phase1.yaml keep                                        touch all that is done
  lethe storage specs/phase1.yaml archive /project/me/phase1 --remove stage:train   move the trained models away

It ends with 3 where there is no room for the rest, something is lost, or files were left untouched.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe storage` can be told."""
    choosing.arguments(parser, "keep, archive DIR, or neither; then which jobs (default: all)")
    parser.add_argument("--most", type=int, metavar="FILES", help="keep: touch at most so many files (default: 100000)")
    parser.add_argument("--remove", action="store_true", help="archive: remove the originals when the copies are verified")
    choosing.teach(parser, STORAGE)


def run(options: argparse.Namespace) -> int:
    """Become the runtime's command of that kind. Raises LetheError for wrong words, or a study that is not compiled."""
    words, select = _asked(options.select, options.remove)
    if options.most is not None:
        words += ["--most", str(options.most)]
    words += [] if "--keep" in words or "--archive" in words else _facts(options.spec)
    return runtime.become("storage", options, [*words, *choosing.chosen_words(options, select)])


def _asked(words: Sequence[str], remove: bool) -> tuple[list[str], Sequence[str]]:
    """What is to be done, in the runtime's words, and the selection that remains."""
    from compiler.select.grammar import SelectionError

    match [*words]:
        case ["keep", *select]:
            return ["--keep"], select
        case ["archive"]:
            raise SelectionError("archive needs a folder to copy to\n  hint: lethe storage SPEC archive DIR")
        case ["archive", folder, *select]:
            return ["--archive", str(Path(folder).absolute()), *(["--remove"] if remove else [])], select
    if remove:
        raise SelectionError("--remove goes with archive\n  hint: lethe storage SPEC archive DIR --remove")
    return [], words


def _facts(spec: Path) -> list[str]:
    """The quota and the deletions of the study's cluster. Raises SpecError for a spec or a catalog that is wrong."""
    from compiler.language.places import Cluster
    from compiler.language.reading import read_spec
    from compiler.slurm import size

    found = read_spec(spec)
    cluster = found.catalog.get(Cluster, found.study.cluster, found.tree.at(("cluster",)))
    words = [f"--quota={size(cluster.quota):.0f}"] if cluster.quota else []
    return [*words, *([f"--purge-days={cluster.purge.days}"] if cluster.purge else [])]
