"""What decides a job's result, as one hash."""

from __future__ import annotations

import hashlib
import operator
import re
from collections.abc import Mapping
from json.encoder import encode_basestring as quoted
from typing import Any

from compiler.text import canonical_json

_WHOLE = re.compile(r"\.0(?:[],}]|\Z)")  # how JSON ends a float that is a whole number, if it has no exponent


def fingerprint(kind: str, backend: str, what: str, code: int, config: str, inputs: Mapping[str, str], output: str) -> str:
    """sha256 (64 hex digits) of a job's decisive part.

    `config` is `decisive(config)`; `inputs` maps names to fingerprints.
    """
    return Fingerprints(kind, backend, what, code, config).of(inputs, output)


class Fingerprints:
    """Those of jobs that have one config: what they begin with is hashed once.

    The whole text is what canonical_json would make of it, for the names are sorted.
    """

    def __init__(self, kind: str, backend: str, what: str, code: int, config: str) -> None:
        self._hash = hashlib.sha256(f'{{"backend":{quoted(backend)},"code":{code},"config":{config},"inputs":{{'.encode())
        self._kind, self._what = quoted(kind), quoted(what)

    def of(self, inputs: Mapping[str, str], output: str) -> str:
        """The fingerprint of the job with these inputs, and what it makes."""
        read = ",".join([f'{quoted(name)}:"{found}"' for name, found in sorted(inputs.items())])
        whole = self._hash.copy()
        whole.update(f'{read}}},"kind":{self._kind},"output":{quoted(output)},"what":{self._what}}}'.encode())
        return whole.hexdigest()


def decisive(config: Any, said: str | None = None) -> str:
    """A parsed config, rendered with every execution value blank that does not decide the result, as one text.

    Numbers are compared as numbers (3 is 3.0), mappings without regard to order. `said` is its canonical JSON, where that is
    known.
    """
    try:
        text = canonical_json(config) if said is None else said
    except ValueError:  # a number that JSON has not
        return canonical_json(_normal(config))
    return canonical_json(_normal(config)) if _WHOLE.search(text) or "e+" in text else text


def _normal(value: Any) -> Any:
    """The same value where nothing in it has another form: a large config is not copied."""
    if isinstance(value, dict):
        items = {str(key): _normal(item) for key, item in value.items()}
        return value if all(map(operator.is_, [*items, *items.values()], [*value, *value.values()])) else items
    if isinstance(value, list | tuple):
        found = [_normal(item) for item in value]
        return value if all(map(operator.is_, found, value)) else found
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return str(value)
        return int(value) if value.is_integer() else value
    return value
