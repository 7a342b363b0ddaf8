"""Where backends are: the folders of `templates/backends/`, and those that installed packages name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

TEMPLATES = Path(__file__).parents[2] / "templates"
GROUP = "lethe.backends"  # of entry points: NAME = the package whose folder is the backend's
ABOUT = "backend.yaml"


def folder_of(backend: str) -> Path | None:
    """The folder of a backend; None where there is no such backend. Lethe's own come before those of other packages."""
    own = TEMPLATES / "backends" / backend
    return own if (own / ABOUT).is_file() else _installed().get(backend)


def is_own(backend: str) -> bool:
    """Whether a backend is one that Lethe has, and not another package's."""
    return (TEMPLATES / "backends" / backend / ABOUT).is_file()


def foreign_files(backend: str) -> list[Path]:
    """The files of another package's backend; none of Lethe's own."""
    folder = None if is_own(backend) else folder_of(backend)
    return sorted(file for file in folder.rglob("*") if file.is_file()) if folder else []


def names() -> list[str]:
    """Every backend there is."""
    return sorted({*(file.parent.name for file in TEMPLATES.glob(f"backends/*/{ABOUT}")), *_installed()})


def template_file(name: str) -> Path:
    """The file of a template, by the name that Jinja knows it by."""
    top, _, rest = name.partition("/")
    backend, _, file = rest.partition("/")
    folder = folder_of(backend) if top == "backends" and file else None
    return folder / file if folder else TEMPLATES / name


def template_name(file: Path) -> str:
    """The name that Jinja knows a template's file by."""
    if file.is_relative_to(TEMPLATES):
        return file.relative_to(TEMPLATES).as_posix()
    backend = next(name for name, folder in _installed().items() if file.parent == folder)
    return f"backends/{backend}/{file.name}"


@cache
def _installed() -> Mapping[str, Path]:
    """The folders of other packages' backends, by name. Their modules are found, not imported."""
    import importlib.metadata  # here, for it takes time, and a study of Lethe's own backends asks for no others
    import importlib.util

    found = {}
    for entry in importlib.metadata.entry_points(group=GROUP):
        spec = importlib.util.find_spec(entry.module)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            if (Path(place) / ABOUT).is_file():
                found[entry.name] = Path(place)
    return found
