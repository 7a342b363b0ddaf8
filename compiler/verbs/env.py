"""`lethe env list`, `lethe env build NAME`, `lethe env check NAME`: what is installed where jobs run."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.verbs import CHANGES, OK

if TYPE_CHECKING:
    from compiler.environments.locks import Lock
    from compiler.language.catalog import Catalog
    from compiler.language.places import Environment

ABOUT = "list, build and check the environments that jobs run in"

HOW = """\
for instance:
  lethe env list                          the catalog's environments, with their locks
  lethe env build verl --cluster mila     install verl's lock where cluster mila has it (run it there)
  lethe env build cpu --at .envs/cpu      the same into a folder
  lethe env check verl --cluster mila     compare what is installed with the lock: exit code 2 where they differ

A lock is installed with the hashes that stand in it, and nothing beside it. `make locks` makes the locks again.
"""
CATALOG = Path("specs/catalog")
PLACE = Path(".envs")


@dataclass(frozen=True)
class Known:
    """An environment of the catalog with its lock."""

    name: str
    environment: Environment
    lock: Lock

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "about": self.environment.about, "python": self.environment.python,
            "files": [os.path.relpath(file) for file in self.lock.files], "lock": self.lock.digest,
            "packages": len(self.lock.packages), "provides": self.environment.provides,
        }  # fmt: skip


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe env` can be told."""
    actions = parser.add_subparsers(title="what to do", metavar="ACTION", dest="action", required=True)
    about = {
        "list": "name the catalog's environments, with the hashes of their locks",
        "build": "make a virtual environment and install a lock into it",
        "check": "compare what is installed with the lock",
    }
    for name, text in about.items():
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("--catalog", type=Path, metavar="DIR", default=CATALOG, help=f"default: {CATALOG}")
        if name != "build":
            action.add_argument("--json", action="store_true", help="one JSON document on standard output")
        if name != "list":
            action.add_argument("name", metavar="NAME", help="an environment of the catalog")
            action.add_argument("--at", type=Path, metavar="DIR", help=f"its folder; default: {PLACE}/NAME")
            action.add_argument("--cluster", metavar="NAME", help="the folder that a cluster of the catalog has it in")
    parser.epilog = f"{HOW}\n{parser.epilog or ''}"


def run(options: argparse.Namespace) -> int:
    """Do it. Raises SpecError for a catalog or a lock that is wrong, TreeError for a folder."""
    catalog = _catalog(options.catalog)
    if options.action == "list":
        return _list(catalog, options.json)
    known = _known(catalog, options.name)
    folder = _folder(catalog, options)
    return _build(known, folder) if options.action == "build" else _check(known, folder, options.json)


def _catalog(folder: Path) -> Catalog:
    from compiler.language.catalog import read_catalog
    from compiler.language.source import Tree

    return read_catalog([folder], Tree(str(folder), {}))


def _known(catalog: Catalog, name: str) -> Known:
    """An environment of the catalog. Raises SpecError, also for a lock that nobody should install."""
    from compiler.diagnostics import Position, SpecError
    from compiler.environments.compatibility import broken
    from compiler.environments.stacks import lock_of
    from compiler.language.places import Environment

    environment = catalog.get(Environment, name, Position("lethe env"))
    lock = lock_of(catalog, name, environment)
    wrong = list(broken(lock))
    if wrong:
        raise SpecError(wrong)
    return Known(name, environment, lock)


def _folder(catalog: Catalog, options: argparse.Namespace) -> Path:
    """Where the environment is: as --at says, or as a cluster's `activate` does. Raises LetheError."""
    from compiler.diagnostics import Position, TreeError, spec_error
    from compiler.language.places import Cluster

    if options.at and options.cluster:
        raise TreeError("--at and --cluster both say where the environment is. Leave one of them out.")
    if not options.cluster:
        return Path(options.at or PLACE / options.name).absolute()
    cluster = catalog.get(Cluster, options.cluster, Position("lethe env"))
    for slot, here in cluster.environments.items():
        if (here.environment or slot) == options.name and here.activate:
            return _expanded(here.activate)
    at = catalog.at("clusters", options.cluster, ("environments",))
    message = f"cluster '{options.cluster}' has no environment '{options.name}' that is activated by a script"
    raise spec_error(at, message, "name its folder with --at")


def _expanded(activate: str) -> Path:
    """The folder of an `activate` script as this shell sees it. Raises TreeError."""
    from compiler.diagnostics import TreeError

    path = os.path.expandvars(activate)
    if "$" in path:
        raise TreeError(f"{activate} names a variable that is not set here. Run this where jobs run, or give --at.")
    return Path(path).absolute().parent.parent


def _list(catalog: Catalog, as_json: bool) -> int:
    from compiler.columns import aligned

    found = [_known(catalog, name) for name in sorted(catalog.names("environments"))]
    if as_json:
        print(json.dumps([known.as_json() for known in found], indent=1))
        return OK
    rows = [
        [known.name, known.lock.digest[:12], f"{len(known.lock.packages)} packages", known.environment.about] for known in found
    ]
    print("\n".join(aligned(rows)))
    return OK


def _build(known: Known, folder: Path) -> int:
    from compiler.environments.installed import build

    build(known.lock, known.environment.python, folder)
    return _check(known, folder, as_json=False)


def _check(known: Known, folder: Path, as_json: bool) -> int:
    from compiler.environments.installed import differences, look

    found = differences(known.lock, known.environment.python, look(folder, known.name))
    if as_json:
        differing = [difference.as_json() for difference in found]
        print(json.dumps({**known.as_json(), "folder": str(folder), "differences": differing}, indent=1))
    else:
        print("\n".join([*(difference.told() for difference in found), _conclusion(known, folder, len(found))]))
    return CHANGES if found else OK


def _conclusion(known: Known, folder: Path, differing: int) -> str:
    what = f"{len(known.lock.packages)} packages of {known.name}, lock {known.lock.digest[:12]}"
    return f"{folder}: {what}: " + (f"{differing} differ." if differing else "as locked.")
