"""Lines of a config with a package's options: which are the package's own, and which words behind a line cite its sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler import backends
from compiler.backends.complete import Laid
from compiler.backends.options import option
from compiler.backends.rendering import places
from compiler.diagnostics import Position
from compiler.explain.pieces import Piece
from compiler.language.source import PathKey
from compiler.plan.plan import Job


def default_of(piece: Piece, text: str, index: int) -> str:
    """The file of the package that says a line of a config, where no template does; empty for any other line."""
    part = _cites(piece)
    if part is None or part.options is None or piece.scene.job is None:
        return ""
    path = next((path for path, line in places(text).items() if line == index), None)
    own = part.config_of(piece.scene.job.settings, piece.scene.job.execution)
    if path is None or _says(own, path):
        return ""
    source = option(part.options.schema, path).get("x-source", "the options")
    return f"{source} of {part.package}"


def uncited(piece: Piece, line: str) -> str:
    """The line without the sources behind it."""
    part, job = _cites(piece), piece.scene.job
    if part is None or job is None:
        return line
    bare = (laid for laid in part.lay_out(job.settings, job.execution) if _is(laid, line))
    return next((f"{laid.text}  # {laid.line.comment}" if laid.line.comment else laid.text for laid in bare), line)


def _is(laid: Laid, line: str) -> bool:
    return line == laid.text or line.startswith(f"{laid.text}  # ")


def _cites(piece: Piece) -> backends.Part | None:
    """The part whose config the line is in, if its configs cite sources."""
    job: Job | None = piece.scene.job
    if job is None or not any(name.endswith(".yaml.j2") for name in piece.templates):
        return None
    part = backends.part(job.backend, job.what, Position(job.id))
    return part if part.options else None


def _says(config: Any, path: PathKey) -> bool:
    for step in path:
        if not isinstance(config, Mapping) or step not in config:
            return False
        config = config[step]
    return True
