"""The files of packages, installed or in a wheel, as texts: nothing of them is imported."""

from __future__ import annotations

import importlib.metadata
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

from compiler.diagnostics import LetheError


@dataclass(frozen=True)
class Package:
    """A package of a version. `wheel` is the file to read it from; without one, it is read where it is installed."""

    name: str
    version: str
    wheel: Path | None = None

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The paths of all its files, sorted."""
        if self.wheel:
            with zipfile.ZipFile(self.wheel) as opened:
                return tuple(sorted(opened.namelist()))
        return tuple(sorted(str(file) for file in importlib.metadata.files(self.name) or ()))

    @cached_property
    def known(self) -> frozenset[str]:
        """The same paths, to ask for one."""
        return frozenset(self.files)

    def matching(self, patterns: Iterable[str]) -> list[str]:
        """Its files that match one of the patterns, in the order of the patterns."""
        return list(dict.fromkeys(file for pattern in patterns for file in self.files if fnmatch(file, pattern)))

    def read(self, file: str) -> str:
        """The text of one file."""
        if self.wheel:
            with zipfile.ZipFile(self.wheel) as opened:
                return opened.read(file).decode("utf-8")
        return Path(str(importlib.metadata.distribution(self.name).locate_file(file))).read_text(encoding="utf-8")


def find_package(name: str, wheels: Iterable[Path]) -> Package:
    """The package in one of the wheels, or else as it is installed. Raises LetheError where it is neither."""
    for wheel in wheels:
        found, version = wheel.name.split("-")[:2]
        if found.replace("_", "-").lower() == name.replace("_", "-").lower():
            return Package(name, version, wheel)
    try:
        return Package(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError as error:
        raise LetheError(f"{name} is not installed. Install it, or name its wheel: --wheel FILE") from error
