"""What decides a job's result, as one hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from compiler.text import canonical_json


def fingerprint(kind: str, backend: str, what: str, code: int, config: Any, inputs: Mapping[str, str], output: str) -> str:
    """sha256 (64 hex digits) of a job's decisive part.

    `config` is the parsed config, rendered with every execution value blank; `inputs` maps names to fingerprints.
    Numbers are compared as numbers (3 is 3.0), mappings without regard to order.
    """
    decisive = {
        "kind": kind, "backend": backend, "what": what, "code": code, "config": _normal(config),
        "inputs": dict(inputs), "output": output,
    }  # fmt: skip
    return hashlib.sha256(canonical_json(decisive).encode()).hexdigest()


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _normal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normal(item) for item in value]
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return str(value)
        return int(value) if value.is_integer() else value
    return value
