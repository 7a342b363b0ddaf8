"""What failures look like, and which of them a job's end is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.operations.status.states import State

FILE = Path(__file__).with_name("signatures.yaml")
BYTES_OF_LOG = 65_536
LONGEST_LINE = 200
_VARIES = re.compile(r"0x[0-9a-fA-F]+|(?:/[^\s/:'\"]+){2,}|\d+(?:\.\d+)?")  # addresses, paths, numbers
_NOISE = re.compile(r"^(slurmstepd|srun|wandb):|^\s*$")


@dataclass(frozen=True)
class Signature:
    """One kind of failure: its signs, what helps, and whether the same job may be submitted again as it is."""

    id: str
    what: str
    fix: str
    again: str
    slurm: tuple[str, ...] = ()
    exit: tuple[int, ...] = ()
    state: tuple[str, ...] = ()
    log: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Finding:
    """What a job's end was found to be, and the line of its log that says so."""

    signature: Signature
    line: str


def read_signatures(path: Path = FILE) -> list[Signature]:
    """The signatures in a file, in the order in which they are tried."""
    import yaml

    return [_signature(entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))]


def _signature(entry: Mapping[str, Any]) -> Signature:
    lists = {key: tuple(entry.get(key, ())) for key in ("slurm", "exit", "state")}
    return Signature(**{**entry, **lists})


def finding(state: State, signatures: Sequence[Signature]) -> Finding:
    """What the end of a job looks like; where it looks like nothing known, its last words are a signature of their own."""
    text = tail(Path(state.log)) if state.log else ""
    for signature in signatures:
        line = _line(signature.log, text)
        named = state.slurm in signature.slurm or state.exit in signature.exit or state.state in signature.state
        if line or named or (signature.reason and re.search(signature.reason, state.reason)):
            return Finding(signature, line or _last_words(text))
    return Finding(_unnamed(state, text), _last_words(text))


def tail(path: Path) -> str:
    """The end of a log; nothing where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - BYTES_OF_LOG))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _line(expression: str, text: str) -> str:
    """The last line in which an expression is found; "" where it is not."""
    found = list(re.finditer(expression, text)) if expression else []
    if not found:
        return ""
    start, end = text.rfind("\n", 0, found[-1].start()) + 1, text.find("\n", found[-1].end())
    return text[start : end if end >= 0 else None].strip()[:LONGEST_LINE]


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if not _NOISE.match(line)]
    return lines[-1][:LONGEST_LINE] if lines else ""


def _unnamed(state: State, text: str) -> Signature:
    """A signature for what nobody has described: the last line without what varies, or else what Slurm says."""
    words = _last_words(text)
    alike = _VARIES.sub("…", words) if words else state.reason or "it left no log"
    fix = "Read the log. What it was can be described in runtime/operations/triage/signatures.yaml."
    return Signature(id=f"other: {alike}", what=alike, fix=fix, again="mended")
